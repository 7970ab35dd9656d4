/* What the runelet says to rune: a file that rune has made for this container. One line, "running" or "failed REASON". */
#ifndef RUNELET_PAL_STATUS_H
#define RUNELET_PAL_STATUS_H

/* Say the rest into the file `status` of a folder; without one, nothing is said. */
void open_status(const char *folder);

/* The first of these counts. Both may be called in a signal handler. */
void tell_running(void);
void tell_failure(const char *reason);

#endif
