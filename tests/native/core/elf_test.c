/* The ELF parser on real files (argv[3..]) and on random changes of their heads. argv: seed, rounds,
 * files. */
#include "process/elf_file.h"

#include "check.h"

typedef struct _IO_FILE FILE;
FILE *fopen(const char *path, const char *mode);
size_t fread(void *to, size_t size, size_t count, FILE *file);
int fseek(FILE *file, long offset, int whence);
long ftell(FILE *file);
int fclose(FILE *file);

static void check_result(const struct elf_file *file, uint64_t size)
{
    uint64_t last = 0;
    CHECK(file->segment_count && file->segment_count <= ELF_SEGMENTS_MAX);
    for (uint32_t i = 0; i < file->segment_count; i++) {
        const struct elf_segment *segment = &file->segments[i];
        CHECK(segment->address >= last && segment->file_size <= segment->memory_size);
        CHECK(segment->offset <= size && segment->file_size <= size - segment->offset);
        last = segment->address + segment->memory_size;
        CHECK(segment->address >= file->low && last <= file->high && last <= APPLICATION_END);
    }
    CHECK(file->entry >= file->low && file->entry < file->high);
    CHECK(file->interpreter_size <= 4096 && file->interpreter_offset <= size &&
          file->interpreter_size <= size - file->interpreter_offset);
}

int main(int count, char **values)
{
    random_state = count > 1 ? (uint64_t)atol(values[1]) : 1;
    long rounds = count > 2 ? atol(values[2]) : 1000;
    for (int i = 3; i < count; i++) {
        static uint8_t good[ELF_HEAD_SIZE], head[ELF_HEAD_SIZE];
        static struct elf_file parsed;
        FILE *file = fopen(values[i], "rb");
        CHECK(file);
        size_t size = fread(good, 1, sizeof good, file);
        fseek(file, 0, 2);
        uint64_t file_size = (uint64_t)ftell(file);
        fclose(file);
        CHECK(!elf_parse(&parsed, good, size, file_size));
        check_result(&parsed, file_size);
        for (size_t cut = 0; cut < 64; cut++) {
            uint8_t *exact = malloc(cut + 1);
            memcpy(exact, good, cut);
            CHECK(elf_parse(&parsed, exact, cut, cut));
            free(exact);
        }
        for (long round = 0; round < rounds; round++) {
            memcpy(head, good, sizeof head);
            for (uint64_t changes = 1 + random_number(6); changes; changes--) {
                uint64_t at = random_number(64 + 56 * 8);
                uint64_t value = random_number(4) ? random_number(256) : ~random_number(16);
                memcpy(head + at, &value, random_number(2) ? 1 : 8);
            }
            if (!elf_parse(&parsed, head, size, file_size)) {
                check_result(&parsed, file_size);
            }
        }
    }
    return 0;
}
