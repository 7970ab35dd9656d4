/* Loads the enclave of an instance, up to EINIT, and takes it away again. */
#include <stdio.h>

#include "pal.h"

int main(int count, char **arguments)
{
    const struct pal_attr_t attributes = {.args = count > 1 ? arguments[1] : "", .log_level = "warning", .fd = -1};
    int error = pal_init(&attributes);
    if (error) {
        fprintf(stderr, "error %d: %s\n", -error, pal_builtin_error());
        return 125;
    }
    return pal_destroy() ? 1 : 0;
}
