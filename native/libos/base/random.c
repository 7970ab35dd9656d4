/* Randomness comes from the CPU alone: the host's would be the host's choice. */
#include "base/base.h"

/* Ten retries, as Intel says (SDM volume 1, 7.3.17); false: the CPU gave none. */
static bool rdrand64(uint64_t *value)
{
    for (int attempt = 0; attempt < 10; attempt++) {
        bool valid;
        __asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(valid));
        if (valid) {
            return true;
        }
    }
    return false;
}

void random_bytes(void *to, size_t size)
{
    for (size_t done = 0; done < size;) {
        uint64_t value;
        if (!rdrand64(&value)) {
            fatal("the CPU's random number generator (RDRAND) does not answer");
        }
        size_t piece = size - done < sizeof value ? size - done : sizeof value;
        memcpy((char *)to + done, &value, piece);
        done += piece;
    }
}
