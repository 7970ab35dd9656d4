/* Exit codes of the runelet's own, as `docker run` has them. */
#ifndef RUNELET_EXIT_CODES_H
#define RUNELET_EXIT_CODES_H

#define EXIT_NOT_STARTED 125
#define EXIT_NOT_ALLOWED 126

#endif
