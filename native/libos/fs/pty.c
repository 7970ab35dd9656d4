#include "fs/pty.h"

#define NS_PER_DECISECOND 100000000ULL /* of VTIME */

static const struct file_operations master_operations, slave_operations;

struct pty *pty_of(const struct file *file, bool *is_master)
{
    *is_master = file->operations == &master_operations;
    return *is_master || file->operations == &slave_operations ? file->state : NULL;
}

static bool is_nonblocking(const struct file *file)
{
    return (file->flags & O_NONBLOCK) != 0;
}

/* The lock is held before and after. */
static int64_t wait(struct pty *pty, struct event_source *end, bool nonblocking, uint64_t timeout_ns)
{
    return nonblocking ? -EAGAIN : wait_queue_sleep(&end->queue, &pty->lock, timeout_ns);
}

static void tell_of_room(struct event_source *end, bool had_room, bool has_room)
{
    if (!had_room && has_room) {
        event_source_has_room(end);
    }
}

static bool has_news(const struct pty *pty)
{
    return pty->packets && pty->line.news != 0;
}

void pty_tell_news(struct pty *pty)
{
    if (has_news(pty)) {
        event_source_has_data(&pty->master);
    }
}

/* In packet mode what has happened is a byte of its own, and 0 stands before data (n_tty_read() of Linux). */
static size_t take_output(struct pty *pty, uint8_t *to, size_t length)
{
    size_t head = pty->packets && length > 0;
    if (head > 0) {
        to[0] = pty->line.news;
        pty->line.news = 0;
        if (to[0] != 0) {
            return head;
        }
    }
    return head + line_take_output(&pty->line, to + head, length - head);
}

/* The one who reads is served; the other end may go on writing. */
static int64_t master_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    (void)offset;
    struct pty *pty = file->state;
    int64_t result = 0;
    mutex_lock(&pty->lock);
    while (line_waiting_output(&pty->line) == 0 && !has_news(pty) && result == 0) {
        bool is_over = pty->slave_was_open && pty->slaves == 0;
        result = is_over ? -EIO : wait(pty, &pty->master, is_nonblocking(file), NO_TIMEOUT);
    }
    if (line_waiting_output(&pty->line) > 0 || has_news(pty)) {
        bool had_room = line_has_output_room(&pty->line);
        result = (int64_t)take_output(pty, to, length);
        tell_of_room(&pty->slave, had_room, line_has_output_room(&pty->line));
    }
    mutex_unlock(&pty->lock);
    return result;
}

static int64_t master_write(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    (void)offset;
    struct pty *pty = file->state;
    size_t done = 0;
    int64_t result = 0;
    uint64_t signals = 0;
    mutex_lock(&pty->lock);
    while (done < length && result == 0) {
        bool was_stopped = pty->line.stopped;
        size_t part = line_receive(&pty->line, (const uint8_t *)from + done, length - done);
        done += part;
        signals |= pty->line.signals;
        pty->line.signals = 0;
        if (part == 0) {
            result = wait(pty, &pty->master, is_nonblocking(file), NO_TIMEOUT);
            continue;
        }
        if (line_waiting_output(&pty->line) > 0) {
            event_source_has_data(&pty->master); /* echo */
        }
        pty_tell_news(pty);
        if (line_readable(&pty->line) > 0) {
            event_source_has_data(&pty->slave);
        }
        tell_of_room(&pty->slave, !was_stopped, !pty->line.stopped);
    }
    mutex_unlock(&pty->lock);
    pty_send_signals(pty, signals);
    return done > 0 ? (int64_t)done : result;
}

static uint32_t master_poll(struct file *file, struct poller *poller)
{
    struct pty *pty = file->state;
    poller_watch(poller, &pty->master);
    mutex_lock(&pty->lock);
    uint32_t events = line_waiting_output(&pty->line) > 0 ? POLLIN | POLLRDNORM : 0;
    events |= has_news(pty) ? POLLPRI | POLLIN | POLLRDNORM : 0;
    events |= line_has_input_room(&pty->line) ? POLLOUT | POLLWRNORM : 0;
    events |= pty->slave_was_open && pty->slaves == 0 ? POLLHUP : 0;
    mutex_unlock(&pty->lock);
    return events;
}

static void master_release(struct file *file)
{
    struct pty *pty = file->state;
    devpts_remove(pty);
    mutex_lock(&pty->lock);
    pty->master_is_closed = true;
    mutex_unlock(&pty->lock);
    event_source_changed(&pty->slave);
    pty_hang_up(pty);
    inode_put(&pty->inode);
}

/* How many characters a read waits for, and how long; of a line, as many as there are (termios(3), "Canonical and
 * noncanonical mode"). */
struct patience {
    bool canonical;
    size_t least;
    uint64_t time_ns; /* NO_TIMEOUT: for ever */
};

static struct patience patience_of(const struct pty *pty)
{
    const struct line_settings *settings = &pty->line.settings;
    struct patience patience = {.canonical = (settings->local & ICANON) != 0, .least = 1, .time_ns = NO_TIMEOUT};
    if (!patience.canonical) {
        patience.least = settings->characters[VMIN];
        patience.time_ns = settings->characters[VTIME] * NS_PER_DECISECOND;
    }
    return patience;
}

/* 0: nothing yet, sleep on. */
static bool is_served(struct pty *pty, const struct patience *patience, uint8_t *to, size_t length, size_t *done)
{
    bool ended = false;
    if (patience->canonical && line_readable(&pty->line) == 0) {
        return false;
    }
    bool had_room = line_has_input_room(&pty->line);
    *done += line_read(&pty->line, to + *done, length - *done, &ended);
    tell_of_room(&pty->master, had_room, line_has_input_room(&pty->line));
    return patience->canonical || *done == length || (*done > 0 && *done >= patience->least);
}

static int64_t slave_read(struct file *file, void *to, size_t length, uint64_t *offset)
{
    (void)offset;
    struct pty *pty = file->state;
    size_t done = 0;
    int64_t result = pty_check_background(pty, SIGTTIN);
    mutex_lock(&pty->lock);
    while (!pty->master_is_closed && result == 0) {
        struct patience patience = patience_of(pty);
        if (is_served(pty, &patience, to, length, &done)) {
            break;
        }
        uint64_t limit = patience.time_ns;
        if (!patience.canonical && patience.least == 0 && limit == 0) {
            break; /* what is there */
        }
        if (!patience.canonical && patience.least > 0 && (limit == 0 || done == 0)) {
            limit = NO_TIMEOUT; /* the time is that between characters */
        }
        result = wait(pty, &pty->slave, is_nonblocking(file), limit);
    }
    mutex_unlock(&pty->lock);
    return done > 0 || result == -ETIMEDOUT ? (int64_t)done : result;
}

static int64_t slave_write(struct file *file, const void *from, size_t length, uint64_t *offset)
{
    (void)offset;
    struct pty *pty = file->state;
    size_t done = 0;
    int64_t result = (pty->line.settings.local & TOSTOP) ? pty_check_background(pty, SIGTTOU) : 0;
    mutex_lock(&pty->lock);
    while (done < length && result == 0) {
        size_t part = pty->master_is_closed ? 0 : line_write(&pty->line, (const uint8_t *)from + done, length - done);
        done += part;
        if (pty->master_is_closed) {
            result = -EIO;
        } else if (part > 0) {
            event_source_has_data(&pty->master);
        } else {
            result = wait(pty, &pty->slave, is_nonblocking(file), NO_TIMEOUT);
        }
    }
    mutex_unlock(&pty->lock);
    return done > 0 ? (int64_t)done : result;
}

static uint32_t slave_poll(struct file *file, struct poller *poller)
{
    struct pty *pty = file->state;
    poller_watch(poller, &pty->slave);
    mutex_lock(&pty->lock);
    struct patience patience = patience_of(pty);
    bool waits_for_all = !patience.canonical && patience.least > 0 && patience.time_ns == 0;
    uint32_t events = line_readable(&pty->line) >= (waits_for_all ? patience.least : 1) ? POLLIN | POLLRDNORM : 0;
    events |= line_has_output_room(&pty->line) ? POLLOUT | POLLWRNORM : 0;
    if (pty->master_is_closed) {
        events = POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM;
    }
    mutex_unlock(&pty->lock);
    return events;
}

static void slave_release(struct file *file)
{
    struct pty *pty = file->state;
    mutex_lock(&pty->lock);
    bool last = --pty->slaves == 0;
    mutex_unlock(&pty->lock);
    if (last) {
        event_source_changed(&pty->master);
    }
    if (file->inode != &pty->inode) {
        inode_put(&pty->inode); /* /dev/tty */
    }
}

static const struct file_operations master_operations = {
    .tells_owner = OWNER_HEARS_OF_DATA,
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .ioctl = pty_ioctl,
    .release = master_release,
    .stream = true,
};

static const struct file_operations slave_operations = {
    .tells_owner = OWNER_HEARS_OF_DATA,
    .read = slave_read,
    .write = slave_write,
    .poll = slave_poll,
    .ioctl = pty_ioctl,
    .release = slave_release,
    .stream = true,
};

void pty_open_master(struct pty *pty, struct file *file)
{
    file->operations = &master_operations;
    file->state = pty;
}

int64_t pty_open_slave(struct pty *pty, struct file *file)
{
    mutex_lock(&pty->lock);
    int64_t result = pty->locked || pty->master_is_closed ? -EIO : pty->slave_is_exclusive ? -EBUSY : 0;
    if (result == 0) {
        pty->slaves++;
        pty->slave_was_open = true;
    }
    mutex_unlock(&pty->lock);
    if (result < 0) {
        return result;
    }
    file->operations = &slave_operations;
    file->state = pty;
    if ((file->flags & O_NOCTTY) == 0 && is_readable(file)) {
        (void)controlling_pty_set(pty); /* if the session has none */
    }
    return 0;
}
