/* A small printf: enough for log lines and for the texts of /proc. */
#include "base/base.h"

struct output {
    char *to;
    size_t size;
    size_t length; /* of the whole text, as if the buffer had no end */
};

static void put(struct output *output, char c)
{
    if (output->length + 1 < output->size) {
        output->to[output->length] = c;
    }
    output->length++;
}

static void put_text(struct output *output, const char *text, size_t length, size_t width, char padding)
{
    for (size_t i = length; i < width; i++) {
        put(output, padding);
    }
    for (size_t i = 0; i < length; i++) {
        put(output, text[i]);
    }
}

static void put_number(struct output *output, uint64_t value, bool negative, unsigned base, size_t width,
                       char padding)
{
    char digits[24];
    size_t first = sizeof digits;
    do {
        digits[--first] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    if (negative && padding == '0') {
        put(output, '-');
        width -= width > 0;
    } else if (negative) {
        digits[--first] = '-';
    }
    put_text(output, digits + first, sizeof digits - first, width, padding);
}

size_t format_text_list(char *to, size_t size, const char *format, va_list arguments)
{
    struct output output = {.to = to, .size = size};
    for (const char *at = format; *at; at++) {
        if (*at != '%') {
            put(&output, *at);
            continue;
        }
        at++;
        char padding = ' ';
        if (*at == '0') {
            padding = '0';
            at++;
        }
        size_t width = 0;
        for (; *at >= '0' && *at <= '9'; at++) {
            width = width * 10 + (size_t)(*at - '0');
        }
        size_t precision = SIZE_MAX;
        if (at[0] == '.' && at[1] == '*') {
            int given = va_arg(arguments, int);
            precision = given < 0 ? SIZE_MAX : (size_t)given;
            at += 2;
        }
        bool wide = false;
        for (; *at == 'l' || *at == 'z'; at++) {
            wide = true;
        }
        switch (*at) {
        case 'd': {
            int64_t value = wide ? va_arg(arguments, int64_t) : va_arg(arguments, int);
            put_number(&output, value < 0 ? -(uint64_t)value : (uint64_t)value, value < 0, 10, width,
                       padding);
            break;
        }
        case 'u':
            put_number(&output, wide ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), false, 10,
                       width, padding);
            break;
        case 'x':
            put_number(&output, wide ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), false, 16,
                       width, padding);
            break;
        case 'o':
            put_number(&output, wide ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned), false, 8,
                       width, padding);
            break;
        case 'p':
            put_text(&output, "0x", 2, 0, ' ');
            put_number(&output, (uint64_t)va_arg(arguments, void *), false, 16, 0, ' ');
            break;
        case 's': {
            const char *text = va_arg(arguments, const char *);
            put_text(&output, text, strnlen(text, precision), width, ' ');
            break;
        }
        case 'c':
            put(&output, (char)va_arg(arguments, int));
            break;
        case '%':
            put(&output, '%');
            break;
        default: /* an unknown conversion shows itself; its argument cannot be skipped safely */
            put(&output, '%');
            at--;
            break;
        }
    }
    if (size) {
        to[output.length < size ? output.length : size - 1] = 0;
    }
    return output.length;
}

size_t format_text(char *to, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t length = format_text_list(to, size, format, arguments);
    va_end(arguments);
    return length;
}
