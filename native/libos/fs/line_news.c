/* What a master in packet mode is told of (TIOCPKT; tty_ioctl(4)). */
#include "fs/line_discipline.h"

#define CONTROL_Q 17U
#define CONTROL_S 19U
#define EXTPROC 0x10000U

void line_set_stopped(struct line *line, bool stopped)
{
    if (line->stopped != stopped) {
        line->stopped = stopped;
        line->news = (line->news & ~(NEWS_STOPPED | NEWS_STARTED)) | (stopped ? NEWS_STOPPED : NEWS_STARTED);
    }
}

static bool has_usual_flow_keys(const struct line_settings *settings)
{
    return (settings->input & IXON) != 0 && settings->characters[VSTOP] == CONTROL_S &&
           settings->characters[VSTART] == CONTROL_Q;
}

/* pty_set_termios() of Linux. */
void line_note_settings(struct line *line, const struct line_settings *settings)
{
    bool flow_keys = has_usual_flow_keys(settings);
    if (flow_keys != has_usual_flow_keys(&line->settings)) {
        line->news = (line->news & ~(NEWS_FLOW_KEYS | NEWS_NO_FLOW_KEYS)) |
                     (flow_keys ? NEWS_FLOW_KEYS : NEWS_NO_FLOW_KEYS);
    }
    line->news |= ((line->settings.local | settings->local) & EXTPROC) ? NEWS_SETTINGS : 0;
}

void line_flush_written(struct line *line)
{
    line->news |= NEWS_FLUSHED_OUTPUT;
}
