/* What stands between the two ends of a pseudoterminal (termios(3); N_TTY of Linux, drivers/tty/n_tty.c): lines that can be
 * edited, echo, characters that mean something, and what becomes of output. Knows nothing of files, locks and waiting. */
#ifndef ENCLAVIZE_FS_LINE_DISCIPLINE_H
#define ENCLAVIZE_FS_LINE_DISCIPLINE_H

#include "base/base.h"

/* struct termios2 (Linux, include/uapi/asm-generic/termbits.h); struct termios is what stands before the speeds. */
#define CONTROL_CHARACTERS 19U
struct line_settings {
    uint32_t input, output, control, local;
    uint8_t discipline;
    uint8_t characters[CONTROL_CHARACTERS];
    uint32_t input_speed, output_speed;
};
_Static_assert(sizeof(struct line_settings) == 44, "struct termios2");
#define TERMIOS_SIZE 36U

enum control_character {
    VINTR = 0, VQUIT = 1, VERASE = 2, VKILL = 3, VEOF = 4, VTIME = 5, VMIN = 6, VSTART = 8, VSTOP = 9, VSUSP = 10,
    VEOL = 11, VREPRINT = 12, VDISCARD = 13, VWERASE = 14, VLNEXT = 15, VEOL2 = 16,
};

#define IXON 0x400U

#define ISIG 0x1U
#define ICANON 0x2U
#define TOSTOP 0x100U

/* What a master in packet mode is told (tty_ioctl(4), TIOCPKT). */
enum line_news {
    NEWS_FLUSHED_INPUT = 1, NEWS_FLUSHED_OUTPUT = 2, NEWS_STOPPED = 4, NEWS_STARTED = 8, NEWS_NO_FLOW_KEYS = 16,
    NEWS_FLOW_KEYS = 32, NEWS_SETTINGS = 64,
};

#define INPUT_SIZE 4096U
#define OUTPUT_SIZE 16384U

struct line {
    struct line_settings settings;
    uint8_t input[INPUT_SIZE];
    uint64_t ends[INPUT_SIZE / 64]; /* a bit for each character that ends a line */
    uint32_t head, line_head, tail; /* counted on and on: written, whole lines written, read */
    uint8_t output[OUTPUT_SIZE];
    uint32_t output_head, output_tail;
    uint32_t column, line_column; /* of the output; where the line being edited begins */
    uint32_t echo_start, echo_column; /* before what is being received: a signal takes the echo back */
    bool stopped;                 /* by VSTOP or TCOOFF: output waits */
    bool literal;                 /* the next character means itself */
    uint64_t signals;             /* bit n - 1: to be sent to the foreground group */
    uint8_t news;                 /* enum line_news: what has happened since this was last looked at */
};

void line_start(struct line *line);
/* What is there stays readable. */
void line_set(struct line *line, const struct line_settings *settings);

/* From the terminal. How many were taken: 0 when there is no room. */
size_t line_receive(struct line *line, const uint8_t *from, size_t length);
/* For the terminal: what was written and echoed. */
size_t line_take_output(struct line *line, uint8_t *to, size_t length);

/* From the program. How many were taken: 0 when there is no room, or it is stopped. */
size_t line_write(struct line *line, const uint8_t *from, size_t length);
/* For the program: a line or less, or all that is there. *ended: a line ended, perhaps one without a character. */
size_t line_read(struct line *line, uint8_t *to, size_t length, bool *ended);

/* Characters that can be read; with ICANON, of whole lines. */
uint32_t line_readable(const struct line *line);
static inline uint32_t line_waiting_output(const struct line *line)
{
    return line->output_head - line->output_tail;
}
bool line_has_input_room(const struct line *line);
bool line_has_output_room(const struct line *line);
void line_flush_input(struct line *line);
void line_flush_output(struct line *line);
/* What the program wrote is with the terminal already, which is told all the same. */
void line_flush_written(struct line *line);
void line_set_stopped(struct line *line, bool stopped);
/* Before line_set(). */
void line_note_settings(struct line *line, const struct line_settings *settings);

#endif
