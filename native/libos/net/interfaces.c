#include "net/interfaces.h"

int64_t interface_ioctl(uint32_t request, user_address argument)
{
    (void)request;
    (void)argument;
    return -ENOTTY;
}
