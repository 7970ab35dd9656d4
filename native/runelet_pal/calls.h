/* Calls into a PAL, of which each may crash, end the process, or never return: it is known in which one a thread is. */
#ifndef RUNELET_PAL_CALLS_H
#define RUNELET_PAL_CALLS_H

/* The function of the PAL in which this thread is; NULL: in none. */
extern __thread const char *current_call;

/* Evaluate a call that runs code of the PAL, and note which one it is. */
#define CALL(name, call)                      \
    __extension__({                           \
        const char *call_before = current_call; \
        current_call = (name);                \
        __typeof__(call) call_result = (call); \
        current_call = call_before;           \
        call_result;                          \
    })

#endif
