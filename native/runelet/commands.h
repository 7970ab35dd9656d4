/* Commands in the running enclave, for `runelet exec` of this container. */
#ifndef RUNELET_COMMANDS_H
#define RUNELET_COMMANDS_H

/* Be there for those that ask, before the enclave is: they wait. After a warning nobody can ask. */
void offer_commands(void);
/* Answer them, in threads of their own, from when the first process has been made. */
void serve_commands(void);

#endif
