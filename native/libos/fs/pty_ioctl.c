#include "fs/call_support.h"
#include "fs/pty.h"
#include "signal/signal.h"

/* Linux, include/uapi/asm-generic/ioctls.h. */
enum pty_request {
    TCGETS = 0x5401,
    TCSETS = 0x5402,
    TCSETSW = 0x5403,
    TCSETSF = 0x5404,
    TCGETA = 0x5405,
    TCSETA = 0x5406,
    TCSETAW = 0x5407,
    TCSETAF = 0x5408,
    TCSBRK = 0x5409,
    TCXONC = 0x540A,
    TCFLSH = 0x540B,
    TIOCEXCL = 0x540C,
    TIOCNXCL = 0x540D,
    TIOCSCTTY = 0x540E,
    TIOCGPGRP = 0x540F,
    TIOCSPGRP = 0x5410,
    TIOCOUTQ = 0x5411,
    TIOCGWINSZ = 0x5413,
    TIOCSWINSZ = 0x5414,
    FIONREAD = 0x541B,
    TIOCPKT = 0x5420,
    TIOCNOTTY = 0x5422,
    TIOCGETD = 0x5424,
    TCSBRKP = 0x5425,
    TIOCGSID = 0x5429,
    TIOCGPTPEER = 0x5441,
    TCGETS2 = 0x802C542A,
    TCSETS2 = 0x402C542B,
    TCSETSW2 = 0x402C542C,
    TCSETSF2 = 0x402C542D,
    TIOCGPTN = 0x80045430,
    TIOCSPTLCK = 0x40045431,
    TIOCSIG = 0x40045436,
    TIOCGPKT = 0x80045438,
    TIOCGEXCL = 0x80045440,
    TIOCGPTLCK = 0x80045439,
};

enum flow { TCOOFF, TCOON, TCIOFF, TCION };
enum queue { TCIFLUSH, TCOFLUSH, TCIOFLUSH };

#define TERMIO_CHARACTERS 8 /* NCC */
#define UINT16_BITS 0xFFFFU
#define BAUD_BITS 0x100FU /* CBAUD */
#define BAUD_OTHER 0x1000U /* BOTHER: the speeds say it */

static int64_t give(user_address to, int32_t value)
{
    return copy_to_user(to, &value, sizeof(value));
}

static struct line_settings settings_of(struct pty *pty)
{
    mutex_lock(&pty->lock);
    struct line_settings settings = pty->line.settings;
    mutex_unlock(&pty->lock);
    return settings;
}

static int64_t get_settings(struct pty *pty, user_address to, size_t size)
{
    const struct line_settings settings = settings_of(pty);
    return copy_to_user(to, &settings, size);
}

/* tty_termios_baud_rate() of Linux. */
static uint32_t speed_of(uint32_t control)
{
    static const uint32_t speeds[] = {0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400};
    static const uint32_t extended[] = {0, 57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000, 1152000,
        1500000, 2000000, 2500000, 3000000, 3500000, 4000000};
    uint32_t index = control & 0xF;
    return (control & BAUD_OTHER) ? extended[index] : speeds[index];
}

static int64_t set_settings(struct pty *pty, const struct line_settings *wanted, bool flush)
{
    struct line_settings settings = *wanted;
    if ((settings.control & BAUD_BITS) != BAUD_OTHER) {
        settings.input_speed = settings.output_speed = speed_of(settings.control);
    }
    mutex_lock(&pty->lock);
    if (flush) {
        line_flush_input(&pty->line);
    }
    line_set(&pty->line, &settings);
    pty_tell_news(pty);
    bool readable = line_readable(&pty->line) > 0;
    mutex_unlock(&pty->lock);
    if (readable) {
        event_source_has_data(&pty->slave);
    }
    wake_all(&pty->slave.queue); /* who waits may wait for less now */
    return 0;
}

static int64_t take_settings(struct pty *pty, user_address from, size_t size, bool flush)
{
    struct line_settings settings = settings_of(pty);
    return copy_from_user(&settings, from, size) < 0 ? -EFAULT : set_settings(pty, &settings, flush);
}

/* What System V had: flags of 16 bits, the others stay, and fewer characters. */
struct termio {
    uint16_t input, output, control, local;
    uint8_t discipline, characters[TERMIO_CHARACTERS];
};
_Static_assert(sizeof(struct termio) == 18, "struct termio of x86-64");

static int64_t get_termio(struct pty *pty, user_address to)
{
    const struct line_settings settings = settings_of(pty);
    struct termio termio = {.input = (uint16_t)settings.input, .output = (uint16_t)settings.output,
        .control = (uint16_t)settings.control, .local = (uint16_t)settings.local, .discipline = settings.discipline};
    memcpy(termio.characters, settings.characters, sizeof(termio.characters));
    return copy_to_user(to, &termio, sizeof(termio));
}

static int64_t set_termio(struct pty *pty, user_address from, bool flush)
{
    struct line_settings settings = settings_of(pty);
    struct termio termio;
    if (copy_from_user(&termio, from, sizeof(termio)) < 0) {
        return -EFAULT;
    }
    settings.input = (settings.input & ~UINT16_BITS) | termio.input;
    settings.output = (settings.output & ~UINT16_BITS) | termio.output;
    settings.control = (settings.control & ~UINT16_BITS) | termio.control;
    settings.local = (settings.local & ~UINT16_BITS) | termio.local;
    settings.discipline = termio.discipline;
    memcpy(settings.characters, termio.characters, sizeof(termio.characters));
    return set_settings(pty, &settings, flush);
}

static int64_t set_window(struct pty *pty, user_address from)
{
    struct window_size window;
    if (copy_from_user(&window, from, sizeof(window)) < 0) {
        return -EFAULT;
    }
    mutex_lock(&pty->lock);
    bool changed = memcmp(&pty->window, &window, sizeof(window)) != 0;
    pty->window = window;
    mutex_unlock(&pty->lock);
    if (changed) {
        pty_send_signals(pty, 1ULL << (SIGWINCH - 1));
    }
    return 0;
}

static int64_t get_window(struct pty *pty, user_address to)
{
    mutex_lock(&pty->lock);
    struct window_size window = pty->window;
    mutex_unlock(&pty->lock);
    return copy_to_user(to, &window, sizeof(window));
}

/* What is to be read at this end. */
static uint32_t waiting(struct pty *pty, bool is_master)
{
    mutex_lock(&pty->lock);
    uint32_t count = is_master ? line_waiting_output(&pty->line) : line_readable(&pty->line);
    mutex_unlock(&pty->lock);
    return count;
}

/* What was written is at the other end already: only what comes in can be thrown away. */
static int64_t flush(struct pty *pty, bool is_master, uint64_t which)
{
    if (which > TCIOFLUSH) {
        return -EINVAL;
    }
    mutex_lock(&pty->lock);
    if (which != TCOFLUSH) {
        (is_master ? line_flush_output : line_flush_input)(&pty->line);
    }
    if (which != TCIFLUSH && !is_master) {
        line_flush_written(&pty->line);
    }
    pty_tell_news(pty);
    mutex_unlock(&pty->lock);
    if (which != TCOFLUSH) {
        event_source_has_room(is_master ? &pty->slave : &pty->master);
    }
    return 0;
}

static int64_t control_flow(struct pty *pty, bool is_master, uint64_t what)
{
    if (what > TCION) {
        return -EINVAL;
    }
    if (what <= TCOON && !is_master) {
        mutex_lock(&pty->lock);
        line_set_stopped(&pty->line, what == TCOOFF);
        pty_tell_news(pty);
        mutex_unlock(&pty->lock);
        event_source_has_room(&pty->slave);
    }
    return 0;
}

static int64_t set_group(struct pty *pty, user_address from)
{
    int32_t group;
    if (!is_controlling_pty(pty)) {
        return -ENOTTY;
    }
    if (copy_from_user(&group, from, sizeof(group)) < 0) {
        return -EFAULT;
    }
    return group < 0 ? -EINVAL : pty_set_foreground_group(pty, group);
}

static int64_t of_session(struct pty *pty, bool is_master, uint32_t request, user_address argument)
{
    bool controls = is_controlling_pty(pty) || is_master;
    switch (request) {
    case TIOCSCTTY:
        return controlling_pty_set(pty);
    case TIOCNOTTY:
        return controlling_pty_give_up(pty);
    case TIOCGPGRP:
        return controls ? give(argument, pty_foreground_group(pty)) : -ENOTTY;
    case TIOCSPGRP:
        return set_group(pty, argument);
    default: /* TIOCGSID */
        return controls && pty->session != 0 ? give(argument, pty->session) : -ENOTTY;
    }
}

static int64_t signal_from_master(struct pty *pty, uint64_t number)
{
    if (number != SIGINT && number != SIGQUIT && number != SIGTSTP) {
        return -EINVAL;
    }
    pty_send_signals(pty, 1ULL << (number - 1));
    return 0;
}

static int64_t set_packets(struct pty *pty, user_address from)
{
    int32_t wanted;
    if (copy_from_user(&wanted, from, sizeof(wanted)) < 0) {
        return -EFAULT;
    }
    mutex_lock(&pty->lock);
    if (!pty->packets) {
        pty->line.news = 0;
    }
    pty->packets = wanted != 0;
    mutex_unlock(&pty->lock);
    return 0;
}

static int64_t open_peer(struct pty *pty, uint32_t flags)
{
    struct file *file;
    int64_t result = devpts_open_peer(pty, flags, &file);
    return result < 0 ? result : install(file, (flags & O_CLOEXEC) != 0);
}

static int64_t of_master(struct pty *pty, uint32_t request, user_address argument)
{
    int32_t value;
    switch (request) {
    case TIOCGPTN:
        return give(argument, pty->number);
    case TIOCSPTLCK:
        if (copy_from_user(&value, argument, sizeof(value)) < 0) {
            return -EFAULT;
        }
        __atomic_store_n(&pty->locked, value != 0, __ATOMIC_RELEASE);
        return 0;
    case TIOCGPTLCK:
        return give(argument, pty->locked);
    case TIOCGPTPEER:
        return open_peer(pty, (uint32_t)argument);
    case TIOCPKT:
        return set_packets(pty, argument);
    case TIOCGPKT:
        return give(argument, pty->packets);
    case TIOCSIG:
        return signal_from_master(pty, argument);
    default:
        return -ENOTTY;
    }
}

/* In the background these stop the caller. Settings are the slave's, whichever end is asked to change them. */
static bool changes_terminal(uint32_t request, bool is_master)
{
    switch (request) {
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TCSETA:
    case TCSETAW:
    case TCSETAF:
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
    case TIOCSPGRP:
        return true;
    case TCSBRK:
    case TCSBRKP:
    case TCXONC:
    case TCFLSH:
        return !is_master;
    default:
        return false;
    }
}

int64_t pty_ioctl(struct file *file, uint32_t request, user_address argument)
{
    bool is_master;
    struct pty *pty = pty_of(file, &is_master);
    if (!is_master && pty->master_is_closed) {
        return request == TIOCSPGRP ? -ENOTTY : -EIO;
    }
    bool *exclusive = is_master ? &pty->master_is_exclusive : &pty->slave_is_exclusive;
    int64_t refusal = changes_terminal(request, is_master) ? pty_check_background(pty, SIGTTOU) : 0;
    if (refusal < 0) {
        return refusal == -EIO && request == TIOCSPGRP ? -ENOTTY : refusal;
    }
    switch (request) {
    case TCGETS:
        return get_settings(pty, argument, TERMIOS_SIZE);
    case TCGETS2:
        return get_settings(pty, argument, sizeof(struct line_settings));
    /* output is sent as soon as it is written: nothing to wait for */
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        return take_settings(pty, argument, TERMIOS_SIZE, request == TCSETSF);
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
        return take_settings(pty, argument, sizeof(struct line_settings), request == TCSETSF2);
    case TCGETA:
        return get_termio(pty, argument);
    case TCSETA:
    case TCSETAW:
    case TCSETAF:
        return set_termio(pty, argument, request == TCSETAF);
    case TCSBRK:
    case TCSBRKP:
        return 0;
    case TCXONC:
        return control_flow(pty, is_master, argument);
    case TCFLSH:
        return flush(pty, is_master, argument);
    case TIOCEXCL:
    case TIOCNXCL:
        __atomic_store_n(exclusive, request == TIOCEXCL, __ATOMIC_RELEASE);
        return 0;
    case TIOCGEXCL:
        return give(argument, __atomic_load_n(exclusive, __ATOMIC_ACQUIRE));
    case TIOCOUTQ:
        return give(argument, 0);
    case FIONREAD:
        return give(argument, (int32_t)waiting(pty, is_master));
    case TIOCGWINSZ:
        return get_window(pty, argument);
    case TIOCSWINSZ:
        return set_window(pty, argument);
    case TIOCGETD:
        return give(argument, 0); /* N_TTY */
    case TIOCSCTTY:
    case TIOCNOTTY:
    case TIOCGPGRP:
    case TIOCSPGRP:
    case TIOCGSID:
        return of_session(pty, is_master, request, argument);
    default:
        return is_master ? of_master(pty, request, argument) : -ENOTTY;
    }
}
