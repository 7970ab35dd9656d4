/* What is above control_next() and control_put() (net.h): for the message calls. */
#ifndef ENCLAVIZE_NET_CONTROL_H
#define ENCLAVIZE_NET_CONTROL_H

#include "net/net.h"

/* As much as the application may send or receive in one message (Linux: net.core.optmem_max allows some more). */
#define CONTROL_MAX PATH_BUFFER_SIZE

/* Does every header of a copied list keep within it? */
bool control_is_good(const struct control *control);

#endif
