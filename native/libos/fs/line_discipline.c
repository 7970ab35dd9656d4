#include "fs/line_discipline.h"

/* Linux, include/uapi/asm-generic/termbits.h. */
enum input_mode {
    IGNBRK = 1, ISTRIP = 0x20, INLCR = 0x40, IGNCR = 0x80, ICRNL = 0x100, IUCLC = 0x200, IXANY = 0x800,
    IUTF8 = 0x4000,
};
enum output_mode {
    OPOST = 1, OLCUC = 2, ONLCR = 4, OCRNL = 8, ONOCR = 0x10, ONLRET = 0x20, TABDLY = 0x1800, XTABS = 0x1800,
};
enum local_mode {
    ECHO = 8, ECHOE = 0x10, ECHOK = 0x20, ECHONL = 0x40, NOFLSH = 0x80, ECHOCTL = 0x200, ECHOKE = 0x800, IEXTEN = 0x8000,
};
enum control_mode { B38400 = 0xF, CSIZE = 0x30, CS8 = 0x30, CREAD = 0x80, PARENB = 0x100 };

#define DISABLED 0U         /* _POSIX_VDISABLE: this control character is none */
#define OUTPUT_OF_ONE 8U    /* the most that one character becomes: a tab */
#define TAB 8U

static bool has_input(const struct line *line, uint32_t mode)
{
    return (line->settings.input & mode) != 0;
}

static bool has_local(const struct line *line, uint32_t mode)
{
    return (line->settings.local & mode) != 0;
}

static bool is(const struct line *line, uint8_t byte, enum control_character which)
{
    return byte == line->settings.characters[which] && byte != DISABLED;
}

static bool is_control(uint8_t byte)
{
    return byte < 0x20 || byte == 0x7F;
}

static bool is_continuation(const struct line *line, uint8_t byte)
{
    return has_input(line, IUTF8) && (byte & 0xC0) == 0x80;
}

void line_start(struct line *line)
{
    static const uint8_t characters[CONTROL_CHARACTERS] = {
        [VINTR] = 3, [VQUIT] = 28, [VERASE] = 127, [VKILL] = 21, [VEOF] = 4, [VMIN] = 1, [VSTART] = 17, [VSTOP] = 19,
        [VSUSP] = 26, [VREPRINT] = 18, [VDISCARD] = 15, [VWERASE] = 23, [VLNEXT] = 22,
    };
    line->settings = (struct line_settings){
        .input = ICRNL | IXON,
        .output = OPOST | ONLCR,
        .control = B38400 | CS8 | CREAD,
        .local = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
        .input_speed = 38400,
        .output_speed = 38400,
    };
    memcpy(line->settings.characters, characters, sizeof(characters));
}

static uint8_t *at(struct line *line, uint32_t position)
{
    return &line->input[position % INPUT_SIZE];
}

static bool ends_line(const struct line *line, uint32_t position)
{
    return (line->ends[position % INPUT_SIZE / 64] >> (position % 64) & 1) != 0;
}

static void mark_end(struct line *line, uint32_t position, bool ends)
{
    uint64_t bit = 1ULL << (position % 64), *word = &line->ends[position % INPUT_SIZE / 64];
    *word = ends ? *word | bit : *word & ~bit;
}

void line_set(struct line *line, const struct line_settings *settings)
{
    bool changes = ((line->settings.local ^ settings->local) & ICANON) != 0;
    line_note_settings(line, settings);
    line->settings = *settings;
    line->settings.control = (settings->control & ~(uint32_t)(CSIZE | PARENB)) | CS8 | CREAD;
    if (!has_input(line, IXON)) {
        line_set_stopped(line, false);
    }
    if (changes) {
        memset(line->ends, 0, sizeof(line->ends));
        line->line_head = line->tail;
        line->literal = false;
        if (has_local(line, ICANON) && line->head != line->tail) {
            mark_end(line, line->head - 1, true);
            line->line_head = line->head;
        }
    }
}

/* Output: the room is looked at before. */
static void put(struct line *line, uint8_t byte)
{
    line->output[line->output_head++ % OUTPUT_SIZE] = byte;
}

bool line_has_output_room(const struct line *line)
{
    return OUTPUT_SIZE - line_waiting_output(line) >= OUTPUT_OF_ONE && !line->stopped;
}

static void put_tab(struct line *line)
{
    uint32_t spaces = TAB - line->column % TAB;
    line->column += spaces;
    if ((line->settings.output & TABDLY) != XTABS) {
        put(line, '\t');
        return;
    }
    while (spaces-- > 0) {
        put(line, ' ');
    }
}

/* do_output_char() of Linux. */
static void put_processed(struct line *line, uint8_t byte)
{
    uint32_t modes = line->settings.output;
    if ((modes & OPOST) == 0) {
        put(line, byte);
        return;
    }
    switch (byte) {
    case '\n':
        line->column = (modes & (ONLRET | ONLCR)) ? 0 : line->column;
        line->line_column = line->column;
        if (modes & ONLCR) {
            put(line, '\r');
        }
        break;
    case '\r':
        if ((modes & ONOCR) && line->column == 0) {
            return;
        }
        if (modes & OCRNL) {
            byte = '\n';
            line->column = (modes & ONLRET) ? 0 : line->column;
        } else {
            line->column = 0;
        }
        line->line_column = line->column;
        break;
    case '\t':
        put_tab(line);
        return;
    case '\b':
        line->column -= line->column > 0;
        break;
    default:
        byte = (modes & OLCUC) && byte >= 'a' && byte <= 'z' ? (uint8_t)(byte - 'a' + 'A') : byte;
        line->column += !is_control(byte) && !is_continuation(line, byte);
        break;
    }
    put(line, byte);
}

size_t line_write(struct line *line, const uint8_t *from, size_t length)
{
    size_t done = 0;
    while (done < length && line_has_output_room(line)) {
        put_processed(line, from[done++]);
    }
    return done;
}

size_t line_take_output(struct line *line, uint8_t *to, size_t length)
{
    size_t done = 0;
    while (done < length && line->output_tail != line->output_head) {
        to[done++] = line->output[line->output_tail++ % OUTPUT_SIZE];
    }
    return done;
}

/* Echo is lost when nobody reads it. It is not held back by VSTOP. */
static void echo_raw(struct line *line, uint8_t byte)
{
    if (OUTPUT_SIZE - line_waiting_output(line) >= OUTPUT_OF_ONE) {
        put_processed(line, byte);
    }
}

static void echo_text(struct line *line, const char *text)
{
    while (*text != '\0') {
        echo_raw(line, (uint8_t)*text++);
    }
}

static void echo(struct line *line, uint8_t byte)
{
    if (has_local(line, ECHOCTL) && is_control(byte) && byte != '\t') {
        echo_raw(line, '^');
        echo_raw(line, byte ^ 0x40);
    } else {
        echo_raw(line, byte);
    }
}

/* Back to where the tab began that has just been taken out. */
static void echo_erased_tab(struct line *line)
{
    uint32_t columns = 0, position = line->head;
    bool after_tab = false;
    while (position != line->line_head && !after_tab) {
        uint8_t byte = *at(line, --position);
        after_tab = byte == '\t';
        if (!after_tab) {
            columns += is_control(byte) ? (has_local(line, ECHOCTL) ? 2 : 0) : !is_continuation(line, byte);
        }
    }
    columns += after_tab ? 0 : line->line_column;
    for (uint32_t back = TAB - columns % TAB; back > 0; back--) {
        echo_raw(line, '\b');
    }
}

static void echo_erased(struct line *line, uint8_t byte, bool one)
{
    if (one && !has_local(line, ECHOE)) {
        echo(line, line->settings.characters[VERASE]);
    } else if (byte == '\t') {
        echo_erased_tab(line);
    } else {
        bool shown_as_two = is_control(byte) && has_local(line, ECHOCTL);
        echo_text(line, shown_as_two ? "\b \b" : "");
        echo_text(line, !is_control(byte) || shown_as_two ? "\b \b" : "");
    }
}

static bool is_of_word(uint8_t byte)
{
    uint8_t lower = byte | 0x20;
    return (byte >= '0' && byte <= '9') || (lower >= 'a' && lower <= 'z') || byte == '_';
}

/* Takes the last character out with all of its bytes; 0: there is none. */
static uint8_t erase_one(struct line *line, bool one)
{
    uint32_t head = line->head;
    uint8_t byte = 0;
    do {
        byte = *at(line, --head);
    } while (is_continuation(line, byte) && head != line->line_head);
    line->head = head;
    if (has_local(line, ECHO)) {
        echo_erased(line, byte, one);
    }
    return byte;
}

static void erase_word(struct line *line)
{
    bool seen = false;
    while (line->head != line->line_head) {
        bool of_word = is_of_word(*at(line, line->head - 1));
        if (seen && !of_word) {
            break;
        }
        seen |= of_word;
        erase_one(line, false);
    }
}

static void kill_line(struct line *line)
{
    bool shown = has_local(line, ECHOK) && has_local(line, ECHOKE) && has_local(line, ECHOE);
    if (has_local(line, ECHO) && !shown) {
        line->head = line->line_head;
        echo(line, line->settings.characters[VKILL]);
        if (has_local(line, ECHOK)) {
            echo_raw(line, '\n');
        }
    }
    while (line->head != line->line_head) {
        erase_one(line, false);
    }
}

static void store(struct line *line, uint8_t byte)
{
    /* a line that is too long loses all but its last character, as in Linux */
    if (line->head - line->tail >= INPUT_SIZE) {
        line->head--;
    }
    mark_end(line, line->head, false);
    *at(line, line->head++) = byte;
}

static void store_end(struct line *line, uint8_t byte)
{
    store(line, byte);
    mark_end(line, line->head - 1, true);
    line->line_head = line->head;
}

static void reprint(struct line *line)
{
    echo(line, line->settings.characters[VREPRINT]);
    echo_raw(line, '\n');
    for (uint32_t position = line->line_head; position != line->head; position++) {
        echo(line, *at(line, position));
    }
}

/* true: it was one that edits or ends the line. */
static bool receive_editing(struct line *line, uint8_t byte)
{
    bool extended = has_local(line, IEXTEN), echoes = has_local(line, ECHO);
    if (is(line, byte, VERASE)) {
        if (line->head != line->line_head) {
            erase_one(line, true);
        }
    } else if (is(line, byte, VKILL)) {
        kill_line(line);
    } else if (extended && is(line, byte, VWERASE)) {
        erase_word(line);
    } else if (extended && is(line, byte, VLNEXT)) {
        line->literal = true;
        if (echoes && has_local(line, ECHOCTL)) {
            echo_text(line, "^\b");
        }
    } else if (extended && echoes && is(line, byte, VREPRINT)) {
        reprint(line);
    } else if (byte == '\n') {
        if (echoes || has_local(line, ECHONL)) {
            echo_raw(line, '\n');
        }
        store_end(line, byte);
    } else if (is(line, byte, VEOF)) {
        store_end(line, DISABLED);
    } else if (is(line, byte, VEOL) || (extended && is(line, byte, VEOL2))) {
        if (echoes) {
            echo(line, byte);
        }
        store_end(line, byte);
    } else {
        return false;
    }
    return true;
}

static void receive_plain(struct line *line, uint8_t byte)
{
    if (has_local(line, ECHO)) {
        if (line->head == line->line_head) {
            line->line_column = line->column;
        }
        if (byte == '\n') {
            echo_raw(line, byte);
        } else {
            echo(line, byte);
        }
    }
    store(line, byte);
}

/* true: it was one that raises a signal. */
static bool receive_signal(struct line *line, uint8_t byte)
{
    int signal = is(line, byte, VINTR) ? SIGINT : is(line, byte, VQUIT) ? SIGQUIT : is(line, byte, VSUSP) ? SIGTSTP : 0;
    if (signal == 0 || !has_local(line, ISIG)) {
        return false;
    }
    line->signals |= 1ULL << (signal - 1);
    if (!has_local(line, NOFLSH)) {
        line_flush_input(line);
        line_flush_written(line);
        line->output_head = line->echo_start;
        line->column = line->echo_column;
    }
    line_set_stopped(line, false);
    if (has_local(line, ECHO)) {
        echo(line, byte);
    }
    return true;
}

/* true: it stops output or lets it go on. */
static bool receive_flow(struct line *line, uint8_t byte)
{
    if (!has_input(line, IXON)) {
        return false;
    }
    bool starts = is(line, byte, VSTART);
    if (!starts && !is(line, byte, VSTOP)) {
        return false;
    }
    line_set_stopped(line, !starts);
    return true;
}

/* n_tty_receive_char() and what it calls. */
static void receive(struct line *line, uint8_t byte)
{
    byte = has_input(line, ISTRIP) ? byte & 0x7F : byte;
    byte = has_input(line, IUCLC) && has_local(line, IEXTEN) && byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte;
    if (line->literal) {
        line->literal = false;
        receive_plain(line, byte);
        return;
    }
    if (receive_flow(line, byte) || receive_signal(line, byte)) {
        return;
    }
    line_set_stopped(line, line->stopped && !has_input(line, IXANY));
    if (byte == '\r') {
        if (has_input(line, IGNCR)) {
            return;
        }
        byte = has_input(line, ICRNL) ? '\n' : byte;
    } else if (byte == '\n' && has_input(line, INLCR)) {
        byte = '\r';
    }
    if (!has_local(line, ICANON) || !receive_editing(line, byte)) {
        receive_plain(line, byte);
    }
}

bool line_has_input_room(const struct line *line)
{
    /* a line being edited always takes one more: see store() */
    return line->head - line->tail < INPUT_SIZE - 1 || (has_local(line, ICANON) && line->line_head == line->tail);
}

size_t line_receive(struct line *line, const uint8_t *from, size_t length)
{
    size_t done = 0;
    line->echo_start = line->output_head;
    line->echo_column = line->column;
    while (done < length && line_has_input_room(line)) {
        receive(line, from[done++]);
    }
    return done;
}

uint32_t line_readable(const struct line *line)
{
    return (has_local(line, ICANON) ? line->line_head : line->head) - line->tail;
}

size_t line_read(struct line *line, uint8_t *to, size_t length, bool *ended)
{
    bool canonical = has_local(line, ICANON);
    size_t done = 0;
    *ended = false;
    while (line_readable(line) > 0 && !*ended) {
        bool ends = canonical && ends_line(line, line->tail);
        uint8_t byte = *at(line, line->tail);
        bool is_end_of_file = ends && byte == DISABLED;
        if (done == length && !is_end_of_file) {
            break;
        }
        line->tail++;
        if (!is_end_of_file) {
            to[done++] = byte;
        }
        *ended = ends;
        mark_end(line, line->tail - 1, false);
    }
    return done;
}

void line_flush_input(struct line *line)
{
    line->head = line->line_head = line->tail;
    line->literal = false;
    memset(line->ends, 0, sizeof(line->ends));
    line->news |= NEWS_FLUSHED_INPUT;
}

void line_flush_output(struct line *line)
{
    line->output_tail = line->output_head;
}
