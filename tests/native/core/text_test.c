/* Formatting and string functions. */
#include "check.h"

static void expect(const char *wanted, size_t length, const char *got)
{
    if (strlen(wanted) != length || strcmp(wanted, got) != 0) {
        printf("wanted \"%s\", got \"%s\" (%zu)\n", wanted, got, length);
        exit(1);
    }
}

int main(void)
{
    char to[64];
    expect("a-12b", format_text(to, sizeof to, "a%db", -12), to);
    expect("-9223372036854775808", format_text(to, sizeof to, "%ld", INT64_MIN), to);
    expect("18446744073709551615", format_text(to, sizeof to, "%lu", UINT64_MAX), to);
    expect("00ff   7 -05", format_text(to, sizeof to, "%04x %3d %03d", 255, 7, -5), to);
    expect("ab|  xy|%|c|17", format_text(to, sizeof to, "%.*s|%4s|%%|%c|%o", 2, "abcdef", "xy", 'c', 15), to);
    expect("0x1000", format_text(to, sizeof to, "%p", (void *)4096), to);
    CHECK(format_text(to, 4, "%s", "abcdef") == 6 && strcmp(to, "abc") == 0);
    CHECK(format_text(NULL, 0, "%s", "abc") == 3);
    CHECK(strnlen("abc", 2) == 2 && strncmp("abc", "abd", 2) == 0 && strcmp("a", "ab") < 0);
    CHECK(memchr("abc", 'c', 2) == NULL);
    return 0;
}
