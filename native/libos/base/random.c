/* Randomness comes from the CPU alone: the host's would be the host's choice. */
#include "boundary/boundary.h"
#include "base/base.h"

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
