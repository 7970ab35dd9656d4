/* What only the start needs of the log. */
#ifndef ENCLAVIZE_LOG_H
#define ENCLAVIZE_LOG_H

#include "base/base.h"

#define FATAL_STATUS 127

/* What the host wants, cut to what this enclave may say. */
void log_set_level(uint32_t wanted);

#endif
