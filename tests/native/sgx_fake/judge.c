/* The judge: what is measured and signed is verified by libraries, in the test. Messages: kind, length, bytes. */
#include <string.h>
#include <unistd.h>

#include "fake.h"

void judge_send(uint32_t kind, const struct iovec *parts, int part_count)
{
    uint32_t header[2] = {kind, 0};
    struct iovec all[8] = {{header, sizeof(header)}};
    for (int index = 0; index < part_count; index++) {
        all[index + 1] = parts[index];
        header[1] += (uint32_t)parts[index].iov_len;
    }
    for (int index = 0; index <= part_count; index++) {
        for (size_t done = 0; done < all[index].iov_len;) {
            ssize_t sent = write((int)setting("FAKE_JUDGE", 0), (uint8_t *)all[index].iov_base + done, all[index].iov_len - done);
            if (sent <= 0) {
                refuse("the judge has gone");
            }
            done += (size_t)sent;
        }
    }
}

void judge_receive(void *to, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read((int)setting("FAKE_JUDGE", 0), (uint8_t *)to + done, size - done);
        if (got <= 0) {
            refuse("the judge has gone");
        }
        done += (size_t)got;
    }
}

void judge_key(const void *dependencies, size_t size, uint8_t key[16])
{
    struct iovec part = {(void *)dependencies, size};
    take();
    judge_send(3, &part, 1);
    judge_receive(key, 16);
    give();
}

void judge_mac(const void *dependencies, size_t size, const void *message, size_t message_size, uint8_t mac[16])
{
    struct iovec parts[] = {{(void *)dependencies, size}, {(void *)message, message_size}};
    take();
    judge_send(4, parts, 2);
    judge_receive(mac, 16);
    give();
}

void judge_measure(const void *bytes, size_t size)
{
    struct iovec part = {(void *)bytes, size};
    judge_send(1, &part, 1);
}

void judge_record(const char *name, const void *first, size_t first_size, const void *second, size_t second_size)
{
    uint8_t record[64] = {0};
    memcpy(record, name, strlen(name));
    memcpy(record + 8, first, first_size);
    memcpy(record + 8 + first_size, second, second_size);
    judge_measure(record, sizeof(record));
}
