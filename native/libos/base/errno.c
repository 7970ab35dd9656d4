#include "base/base.h"

static const struct {
    int number;
    const char *name;
} ERRORS[] = {
#define ERRNO(name, number) {number, #name},
#include "base/errno.def"
#undef ERRNO
};

const char *errno_name(int64_t number)
{
    for (size_t index = 0; index < ARRAY_LENGTH(ERRORS); index++) {
        if (ERRORS[index].number == number) {
            return ERRORS[index].name;
        }
    }
    return NULL;
}
