/* Writes the digests that the enclave's EACH gives, of several lanes: of `count` messages of `size` bytes each, from standard input. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void EACH(const void *data, size_t size, size_t count, uint8_t *digests);

int main(int count, char **values)
{
    if (count != 3) {
        return 2;
    }
    size_t size = strtoul(values[1], NULL, 10), messages = strtoul(values[2], NULL, 10);
    uint8_t *data = malloc(size * messages + 1), *digests = malloc(32 * messages + 1);
    if (!data || !digests || fread(data, 1, size * messages, stdin) != size * messages) {
        return 1;
    }
    EACH(data, size, messages, digests);
    return fwrite(digests, 32, messages, stdout) == messages ? 0 : 1;
}
