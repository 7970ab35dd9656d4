/* What /proc/cpuinfo tells of the processor is what CPUID tells: names as in Linux' arch/x86/include/asm/cpufeatures.h. */
#include <cpuid.h>

#include "check.h"

enum { EBX, ECX, EDX };

static const struct {
    const char *name;
    unsigned leaf, where, bit;
} FEATURES[] = {
    {"fpu", 1, EDX, 0},      {"tsc", 1, EDX, 4},      {"cx8", 1, EDX, 8},    {"cmov", 1, EDX, 15},   {"sse2", 1, EDX, 26},
    {"pni", 1, ECX, 0},      {"ssse3", 1, ECX, 9},    {"fma", 1, ECX, 12},   {"cx16", 1, ECX, 13},   {"sse4_1", 1, ECX, 19},
    {"sse4_2", 1, ECX, 20},  {"movbe", 1, ECX, 22},   {"popcnt", 1, ECX, 23}, {"aes", 1, ECX, 25},   {"avx", 1, ECX, 28},
    {"f16c", 1, ECX, 29},    {"rdrand", 1, ECX, 30},  {"bmi1", 7, EBX, 3},   {"avx2", 7, EBX, 5},    {"bmi2", 7, EBX, 8},
    {"avx512f", 7, EBX, 16}, {"adx", 7, EBX, 19},     {"sha_ni", 7, EBX, 29}, {"avx512vl", 7, EBX, 31}, {"gfni", 7, ECX, 8},
    {"vaes", 7, ECX, 9},     {"lm", 0x80000001, EDX, 29}, {"abm", 0x80000001, ECX, 5},
};

static char flags[8192], vendor[64];
static unsigned family, model, stepping;

static void read_all(void)
{
    char line[8192];
    FILE *file = fopen("/proc/cpuinfo", "r");
    CHECK(file);
    while (fgets(line, sizeof line, file) && line[0] != '\n') {
        char *value = strchr(line, ':');
        CHECK(value);
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "flags", 5) == 0) {
            snprintf(flags, sizeof flags, "%s ", value + 1);
        } else if (strncmp(line, "vendor_id", 9) == 0) {
            snprintf(vendor, sizeof vendor, "%s", value + 2);
        }
        (void)sscanf(line, "cpu family : %u", &family);
        (void)sscanf(line, "model : %u", &model);
        (void)sscanf(line, "stepping : %u", &stepping);
    }
    fclose(file);
}

static int is_told(const char *name)
{
    char word[32];
    snprintf(word, sizeof word, " %s ", name);
    return strstr(flags, word) != NULL;
}

int main(void)
{
    unsigned eax, words[3];
    read_all();
    for (size_t at = 0; at < sizeof FEATURES / sizeof *FEATURES; at++) {
        words[EBX] = words[ECX] = words[EDX] = 0;
        __get_cpuid_count(FEATURES[at].leaf, 0, &eax, &words[EBX], &words[ECX], &words[EDX]);
        if (is_told(FEATURES[at].name) != (int)(words[FEATURES[at].where] >> FEATURES[at].bit & 1)) {
            fprintf(stderr, "%s is told in one place and not in the other\n", FEATURES[at].name);
            return 1;
        }
    }
    CHECK(strlen(vendor) == 12); /* which one differs in simulation, where nothing makes CPUID fault */
    CHECK(__get_cpuid(1, &eax, &words[EBX], &words[ECX], &words[EDX]));
    unsigned base = eax >> 8 & 15;
    CHECK(family == base + (base == 15 ? eax >> 20 & 255 : 0) && stepping == (eax & 15));
    CHECK(model == ((eax >> 4 & 15) | (base >= 6 ? eax >> 12 & 0xF0 : 0)));
    return 0;
}
