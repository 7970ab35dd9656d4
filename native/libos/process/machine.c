#include "process/process.h"

#define PROCESSORS_MAX 8U

uint32_t processor_count(void)
{
    uint32_t count = configuration.threads < PROCESSORS_MAX ? configuration.threads : PROCESSORS_MAX;
    return count > 0 ? count : 1;
}
