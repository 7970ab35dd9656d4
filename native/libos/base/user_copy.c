/*
 * Copies between the LibOS and the application. Each touches application memory in one instruction, whose
 * faults user_copy_fix_up() turns into a short copy by the fix-up table below.
 */
#include "base/base.h"

/* size_t copy_bytes(void *to, const void *from, size_t size): bytes NOT copied. `rep movsb` is restartable:
 * after a fault RCX says what is left. */
__asm__(".text\n"
        ".type copy_bytes, @function\n"
        "copy_bytes:\n"
        "    mov %rdx, %rcx\n"
        "copy_bytes_fault:\n"
        "    rep movsb\n"
        "copy_bytes_fixup:\n"
        "    mov %rcx, %rax\n"
        "    ret\n"
        ".size copy_bytes, . - copy_bytes\n"
        /* size_t clear_bytes(void *to, size_t size): bytes NOT cleared. */
        ".type clear_bytes, @function\n"
        "clear_bytes:\n"
        "    xor %eax, %eax\n"
        "    mov %rsi, %rcx\n"
        "clear_bytes_fault:\n"
        "    rep stosb\n"
        "clear_bytes_fixup:\n"
        "    mov %rcx, %rax\n"
        "    ret\n"
        ".size clear_bytes, . - clear_bytes\n"
        /* uint32_t exchange_word(uint32_t *word, uint32_t expected, uint32_t desired, uint32_t *found): 0, or
         * 1 after a fault. */
        ".type exchange_word, @function\n"
        "exchange_word:\n"
        "    mov %esi, %eax\n"
        "exchange_word_fault:\n"
        "    lock cmpxchg %edx, (%rdi)\n"
        "    mov %eax, (%rcx)\n"
        "    xor %eax, %eax\n"
        "    ret\n"
        "exchange_word_fixup:\n"
        "    mov $1, %eax\n"
        "    ret\n"
        ".size exchange_word, . - exchange_word\n");

size_t copy_bytes(void *to, const void *from, size_t size);
size_t clear_bytes(void *to, size_t size);
uint32_t exchange_word(uint32_t *word, uint32_t expected, uint32_t desired, uint32_t *found);

extern const char copy_bytes_fault[], copy_bytes_fixup[], clear_bytes_fault[], clear_bytes_fixup[];
extern const char exchange_word_fault[], exchange_word_fixup[];

bool user_copy_fix_up(uint64_t *rip)
{
    const struct {
        const char *fault, *fixup;
    } table[] = {
        {copy_bytes_fault, copy_bytes_fixup},
        {clear_bytes_fault, clear_bytes_fixup},
        {exchange_word_fault, exchange_word_fixup},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        if (*rip == (uint64_t)table[i].fault) {
            *rip = (uint64_t)table[i].fixup;
            return true;
        }
    }
    return false;
}

/* Programs may take turns at one range of addresses. */
static void reach_application(void)
{
    if (base_upcalls.reach_application) {
        base_upcalls.reach_application();
    }
}

bool user_range_is_valid(user_address address, uint64_t size)
{
    return size == 0 || (address >= APPLICATION_START && size <= APPLICATION_END - APPLICATION_START &&
                         address <= APPLICATION_END - size);
}

size_t copy_some_from_user(void *to, user_address from, size_t size)
{
    reach_application();
    return user_range_is_valid(from, size) ? size - copy_bytes(to, (const void *)from, size) : 0;
}

size_t copy_some_to_user(user_address to, const void *from, size_t size)
{
    reach_application();
    return user_range_is_valid(to, size) ? size - copy_bytes((void *)to, from, size) : 0;
}

int copy_from_user(void *to, user_address from, size_t size)
{
    return copy_some_from_user(to, from, size) == size ? 0 : -EFAULT;
}

int copy_to_user(user_address to, const void *from, size_t size)
{
    return copy_some_to_user(to, from, size) == size ? 0 : -EFAULT;
}

int clear_user(user_address to, size_t size)
{
    reach_application();
    return user_range_is_valid(to, size) && clear_bytes((void *)to, size) == 0 ? 0 : -EFAULT;
}

int user_compare_exchange(user_address address, uint32_t *expected, uint32_t desired)
{
    if (address % 4 || !user_range_is_valid(address, 4)) {
        return -EFAULT;
    }
    uint32_t found;
    reach_application();
    if (exchange_word((uint32_t *)address, *expected, desired, &found)) {
        return -EFAULT;
    }
    bool done = found == *expected;
    *expected = found;
    return done ? 0 : -EAGAIN;
}

bool user_is_writable(user_address address)
{
    uint32_t word = 0; /* a locked exchange of a word for itself: a write that changes nothing */
    return user_compare_exchange(address & ~3ULL, &word, word) != -EFAULT;
}

int64_t strncpy_from_user(char *to, user_address from, size_t size)
{
    /* Piece by piece up to page borders: the string may end right before memory that is not there. */
    for (size_t done = 0; done < size;) {
        size_t piece = (size_t)(PAGE_SIZE - (from + done) % PAGE_SIZE);
        if (piece > 128) {
            piece = 128 - (size_t)((from + done) % 128);
        }
        if (piece > size - done) {
            piece = size - done;
        }
        if (copy_from_user(to + done, from + done, piece)) {
            return -EFAULT;
        }
        const char *end = memchr(to + done, 0, piece);
        if (end) {
            return end - to;
        }
        done += piece;
    }
    return -ENAMETOOLONG;
}

int64_t iovec_import(struct iovec *to, user_address from, uint64_t count)
{
    if (count > IOV_MAX) {
        return -EINVAL;
    }
    if (copy_from_user(to, from, count * sizeof *to)) {
        return -EFAULT;
    }
    uint64_t total = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (to[i].length > (uint64_t)INT64_MAX - total) {
            return -EINVAL;
        }
        if (!user_range_is_possible(to[i].base, to[i].length)) {
            return -EFAULT;
        }
        total += to[i].length;
    }
    return (int64_t)total;
}

int timeout_from_user(uint64_t *timeout_ns, user_address from)
{
    struct timespec time;
    if (copy_from_user(&time, from, sizeof time)) {
        return -EFAULT;
    }
    if (time.seconds < 0 || time.nanoseconds < 0 || time.nanoseconds >= (int64_t)NS_PER_SECOND) {
        return -EINVAL;
    }
    uint64_t seconds = (uint64_t)time.seconds;
    bool fits = seconds < (uint64_t)INT64_MAX / NS_PER_SECOND;
    *timeout_ns = fits ? seconds * NS_PER_SECOND + (uint64_t)time.nanoseconds : (uint64_t)INT64_MAX;
    return 0;
}
