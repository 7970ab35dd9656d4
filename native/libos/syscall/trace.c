/* One system call as strace prints it: the name and the arguments by the table's row, the result with the errno's name. */
#include "syscall/observe.h"

#include "process/process.h"

#define SHOWN_OF_DATA 32U
#define SHOWN_OF_PATH 256U
#define AT_FDCWD (-100)

struct line {
    char *text;
    size_t size, length;
};

static void add(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct line *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    line->length += format_text_list(line->text + line->length, line->size - line->length, format, arguments);
    va_end(arguments);
    line->length = line->length < line->size ? line->length : line->size - 1;
}

static void add_quoted(struct line *line, const uint8_t *bytes, size_t length, bool is_cut)
{
    static const char *const named = "\\\"\n\r\t", *const names = "\\\"nrt";
    add(line, "\"");
    for (size_t at = 0; at < length; at++) {
        const char *found = bytes[at] ? memchr(named, bytes[at], 5) : NULL;
        bool next_is_digit = at + 1 < length && bytes[at + 1] >= '0' && bytes[at + 1] <= '9';
        if (found) {
            add(line, "\\%c", names[found - named]);
        } else if (bytes[at] >= ' ' && bytes[at] < 0x7F) {
            add(line, "%c", bytes[at]);
        } else {
            add(line, next_is_digit ? "\\%03o" : "\\%o", bytes[at]);
        }
    }
    add(line, is_cut ? "\"..." : "\"");
}

static void add_address(struct line *line, user_address address)
{
    if (address) {
        add(line, "0x%lx", address);
    } else {
        add(line, "NULL");
    }
}

static void add_path(struct line *line, user_address address)
{
    char path[SHOWN_OF_PATH];
    int64_t length = strncpy_from_user(path, address, sizeof path);
    if (length == -EFAULT) {
        add_address(line, address);
    } else {
        add_quoted(line, (const uint8_t *)path, length < 0 ? sizeof path : (size_t)length, length < 0);
    }
}

static void add_data(struct line *line, user_address address, uint64_t length)
{
    uint8_t bytes[SHOWN_OF_DATA];
    size_t shown = length < sizeof bytes ? (size_t)length : sizeof bytes;
    if (!address || copy_from_user(bytes, address, shown)) {
        add_address(line, address);
    } else {
        add_quoted(line, bytes, shown, shown < length);
    }
}

struct bit {
    uint32_t value;
    const char *name;
};

/* include/uapi/asm-generic/fcntl.h */
static const struct bit OPEN_BITS[] = {
    {1, "O_WRONLY"}, {2, "O_RDWR"}, {0x40, "O_CREAT"}, {0x80, "O_EXCL"}, {0x100, "O_NOCTTY"}, {0x200, "O_TRUNC"}, {0x400, "O_APPEND"},
    {0x800, "O_NONBLOCK"}, {0x101000, "O_SYNC"}, {0x1000, "O_DSYNC"}, {0x4000, "O_DIRECT"}, {0x8000, "O_LARGEFILE"}, {0x410000, "O_TMPFILE"},
    {0x10000, "O_DIRECTORY"}, {0x20000, "O_NOFOLLOW"}, {0x40000, "O_NOATIME"}, {0x80000, "O_CLOEXEC"}, {0x200000, "O_PATH"},
};
/* include/uapi/asm-generic/mman-common.h, mman.h */
static const struct bit PROTECTION_BITS[] = {
    {1, "PROT_READ"}, {2, "PROT_WRITE"}, {4, "PROT_EXEC"}, {0x01000000, "PROT_GROWSDOWN"}, {0x02000000, "PROT_GROWSUP"},
};
static const struct bit MAP_BITS[] = {
    {3, "MAP_SHARED_VALIDATE"}, {1, "MAP_SHARED"}, {2, "MAP_PRIVATE"}, {0x10, "MAP_FIXED"}, {0x20, "MAP_ANONYMOUS"}, {0x40, "MAP_32BIT"},
    {0x100, "MAP_GROWSDOWN"}, {0x800, "MAP_DENYWRITE"}, {0x2000, "MAP_LOCKED"}, {0x4000, "MAP_NORESERVE"}, {0x8000, "MAP_POPULATE"},
    {0x20000, "MAP_STACK"}, {0x40000, "MAP_HUGETLB"}, {0x100000, "MAP_FIXED_NOREPLACE"},
};

static void add_bits(struct line *line, uint32_t value, const struct bit *bits, size_t count, const char *none)
{
    const char *bar = "";
    for (size_t index = 0; index < count; index++) {
        if ((value & bits[index].value) == bits[index].value) {
            add(line, "%s%s", bar, bits[index].name);
            value &= ~bits[index].value;
            bar = "|";
        }
    }
    if (value) {
        add(line, "%s0x%x", bar, value);
    } else if (!bar[0]) {
        add(line, "%s", none);
    }
}

static void add_number(struct line *line, uint64_t value)
{
    if ((int64_t)value >= INT32_MIN && (int64_t)value <= INT32_MAX) {
        add(line, "%ld", (int64_t)value);
    } else {
        add(line, "0x%lx", value);
    }
}

static void add_argument(struct line *line, const struct argument *argument, const struct arguments *arguments, size_t index,
                         const int64_t *result)
{
    uint64_t value = arguments->at[index];
    uint64_t size = argument->size_argument ? arguments->at[argument->size_argument - 1] : 0;
    switch ((enum argument_kind)argument->kind) {
    case ARGUMENT_UNUSED:
        break;
    case ARGUMENT_VALUE:
        add_number(line, value);
        break;
    case ARGUMENT_OPEN_FLAGS:
        if (!(value & 3)) {
            add(line, "O_RDONLY%s", (uint32_t)value ? "|" : "");
        }
        add_bits(line, (uint32_t)value, OPEN_BITS, ARRAY_LENGTH(OPEN_BITS), "");
        break;
    case ARGUMENT_PROTECTION:
        add_bits(line, (uint32_t)value, PROTECTION_BITS, ARRAY_LENGTH(PROTECTION_BITS), "PROT_NONE");
        break;
    case ARGUMENT_MAP_FLAGS:
        add_bits(line, (uint32_t)value, MAP_BITS, ARRAY_LENGTH(MAP_BITS), "0");
        break;
    case ARGUMENT_MODE:
        add(line, "0%o", (uint32_t)value);
        break;
    case ARGUMENT_FD:
        if ((int32_t)value == AT_FDCWD) {
            add(line, "AT_FDCWD");
        } else {
            add(line, "%d", (int32_t)value);
        }
        break;
    case ARGUMENT_PATH:
        add_path(line, value);
        break;
    case ARGUMENT_IN:
        if (size) {
            add_data(line, value, size);
        } else {
            add_address(line, value);
        }
        break;
    case ARGUMENT_OUT:
        if (size && result && *result > 0) {
            add_data(line, value, (uint64_t)*result < size ? (uint64_t)*result : size);
        } else {
            add_address(line, value);
        }
        break;
    case ARGUMENT_ADDRESS:
    case ARGUMENT_INOUT:
        add_address(line, value);
        break;
    }
}

static void add_result(struct line *line, int64_t result)
{
    if (result >= 0 || result < -4095) {
        add(line, " = ");
        add_number(line, (uint64_t)result);
        return;
    }
    const char *name = errno_name(-result);
    if (name) {
        add(line, " = -1 %s", name);
    } else {
        add(line, " = -1 (errno %ld)", -result);
    }
}

#define CREATES 0x400040U /* O_CREAT, and what O_TMPFILE adds to O_DIRECTORY */

/* open() without them has no mode. */
static bool is_shown(const struct syscall_row *row, const struct arguments *arguments, size_t index)
{
    const struct argument *argument = &row->arguments[index];
    bool is_mode_of_open = argument->kind == ARGUMENT_MODE && index > 0 && argument[-1].kind == ARGUMENT_OPEN_FLAGS;
    return argument->kind != ARGUMENT_UNUSED && (!is_mode_of_open || (arguments->at[index - 1] & CREATES));
}

size_t trace_line(char *text, size_t size, const struct syscall_row *row, const struct arguments *arguments, const int64_t *result)
{
    struct line line = {.text = text, .size = size};
    if (task_count() > 1) {
        add(&line, "[pid %5d] ", task_id(current_task()));
    }
    add(&line, "%s(", row->name);
    for (size_t index = 0; index < ARRAY_LENGTH(row->arguments) && is_shown(row, arguments, index); index++) {
        add(&line, "%s", index ? ", " : "");
        add_argument(&line, &row->arguments[index], arguments, index, result);
    }
    add(&line, ")");
    if (result) {
        add_result(&line, *result);
    } else {
        add(&line, " = ?");
    }
    return line.length;
}
