/* `runelet exec`: a command in the enclave that runs in this container. */
#ifndef RUNELET_EXEC_H
#define RUNELET_EXEC_H

/* Run the arguments, or the image's health check if there are none, to the end. Its exit code, 128 + n after signal n, 126 after an error message. */
int exec_command(char **arguments, char **environment);

/* Write a REPORT of the enclave for the TARGETINFO on standard input to standard output. 0, or 126 after an error message. */
int exec_report(void);

#endif
