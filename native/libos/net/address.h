/* Socket addresses between the application and the families. */
#ifndef ENCLAVIZE_NET_ADDRESS_H
#define ENCLAVIZE_NET_ADDRESS_H

#include "net/net.h"

/* -EINVAL for a length that no address has, -EFAULT. */
int64_t address_from_user(struct address *address, user_address from, int32_t length);

/* What does not fit is cut off. -EINVAL for a negative room, -EFAULT. */
int64_t address_to_user(const struct address *address, user_address to, int32_t room);
/* The same, with the room in an int that is replaced by the whole length. */
int64_t address_to_user_sized(const struct address *address, user_address to, user_address length_at);

#endif
