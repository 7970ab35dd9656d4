/* What the runelet says on standard error. One line each, beginning "enclavize: ". */
#ifndef RUNELET_MESSAGE_H
#define RUNELET_MESSAGE_H

void error_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
void info_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
void warning_message(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
