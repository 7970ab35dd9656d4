/* Socket addresses between the application and the families. */
#include "net/address.h"

uint16_t address_family(const struct address *address)
{
    uint16_t family = AF_UNSPEC;
    if (address->length >= sizeof(family)) {
        memcpy(&family, address->bytes, sizeof(family));
    }
    return family;
}

int64_t address_from_user(struct address *address, user_address from, int32_t length)
{
    address->length = 0;
    if (length < 0 || (size_t)length > sizeof(address->bytes)) {
        return -EINVAL;
    }
    memset(address->bytes, 0, sizeof(address->bytes));
    if (copy_from_user(address->bytes, from, (size_t)length) < 0) {
        return -EFAULT;
    }
    address->length = (uint32_t)length;
    return 0;
}

int64_t address_to_user(const struct address *address, user_address to, int32_t room)
{
    if (room < 0) {
        return -EINVAL;
    }
    size_t size = address->length < (uint32_t)room ? address->length : (uint32_t)room;
    return copy_to_user(to, address->bytes, size);
}

int64_t address_to_user_sized(const struct address *address, user_address to, user_address length_at)
{
    int32_t room;
    if (copy_from_user(&room, length_at, sizeof(room)) < 0) {
        return -EFAULT;
    }
    int64_t result = address_to_user(address, to, room);
    return result < 0 ? result : copy_to_user(length_at, &address->length, sizeof(address->length));
}
