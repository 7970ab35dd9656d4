/* Between the files of the time room only. */
#ifndef ENCLAVIZE_TIME_CPU_LIMIT_H
#define ENCLAVIZE_TIME_CPU_LIMIT_H

void cpu_limit_start(void);

#endif
