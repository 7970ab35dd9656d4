/* Finds a function of the vDSO (vdso(7)): an ELF image that the kernel has mapped, headers included. */
#include <elf.h>
#include <string.h>

#include "sgx_machine.h"

#define FUNCTION "__vdso_sgx_enter_enclave"

/* The dynamic section's addresses are the image's, less where it is loaded. */
struct symbols {
    const Elf64_Sym *table;
    const char *names;
    const uint32_t *hash, *gnu_hash;
};

static struct symbols read_dynamic(const Elf64_Dyn *entry, uint64_t bias)
{
    struct symbols symbols = {0};
    for (; entry->d_tag != DT_NULL; entry++) {
        const void *address = (const void *)(bias + entry->d_un.d_ptr);
        switch (entry->d_tag) {
        case DT_SYMTAB:
            symbols.table = address;
            break;
        case DT_STRTAB:
            symbols.names = address;
            break;
        case DT_HASH:
            symbols.hash = address;
            break;
        case DT_GNU_HASH:
            symbols.gnu_hash = address;
            break;
        default:
            break;
        }
    }
    return symbols;
}

/* DT_GNU_HASH: count of buckets, first symbol, words of the filter, shift; filter, buckets, chains, whose last member has bit 0 set. */
static uint32_t count_by_gnu_hash(const uint32_t *hash)
{
    uint32_t buckets = hash[0], first = hash[1], last = 0;
    const uint32_t *bucket = hash + 4 + 2 * hash[2], *chain = bucket + buckets;
    for (uint32_t index = 0; index < buckets; index++) {
        last = bucket[index] > last ? bucket[index] : last;
    }
    if (last < first) {
        return first;
    }
    while (!(chain[last - first] & 1)) {
        last++;
    }
    return last + 1;
}

static uint32_t count_symbols(const struct symbols *symbols)
{
    if (symbols->hash) {
        return symbols->hash[1];
    }
    return symbols->gnu_hash ? count_by_gnu_hash(symbols->gnu_hash) : 0;
}

static sgx_vdso_function *find_function(const struct symbols *symbols, uint64_t bias)
{
    uint32_t count = symbols->table && symbols->names ? count_symbols(symbols) : 0;
    for (uint32_t index = 0; index < count; index++) {
        const Elf64_Sym *symbol = &symbols->table[index];
        if (symbol->st_shndx != SHN_UNDEF && strcmp(symbols->names + symbol->st_name, FUNCTION) == 0) {
            return (sgx_vdso_function *)(bias + symbol->st_value);
        }
    }
    return NULL;
}

sgx_vdso_function *sgx_find_vdso(const void *image)
{
    const Elf64_Ehdr *header = image;
    if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        return NULL;
    }
    const Elf64_Phdr *segments = (const Elf64_Phdr *)((const uint8_t *)image + header->e_phoff);
    const Elf64_Phdr *load = NULL, *dynamic = NULL;
    for (unsigned index = 0; index < header->e_phnum; index++) {
        load = segments[index].p_type == PT_LOAD && !load ? &segments[index] : load;
        dynamic = segments[index].p_type == PT_DYNAMIC ? &segments[index] : dynamic;
    }
    if (!load || !dynamic) {
        return NULL;
    }
    uint64_t bias = (uint64_t)image + load->p_offset - load->p_vaddr;
    const struct symbols symbols = read_dynamic((const Elf64_Dyn *)(bias + dynamic->p_vaddr), bias);
    return find_function(&symbols, bias);
}
