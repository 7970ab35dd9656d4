/*
 * Calls for the administrator of the machine, whom nobody in an enclave is: Linux looks for that right before it looks at anything else, with the
 * exceptions below.
 */
#include "process/process.h"

#define REFUSED(call)                                      \
    int64_t sys_##call(const struct arguments *arguments)  \
    {                                                      \
        (void)arguments;                                   \
        return -EPERM;                                     \
    }

REFUSED(acct)            /* CAP_SYS_PACCT */
REFUSED(delete_module)   /* CAP_SYS_MODULE */
REFUSED(finit_module)
REFUSED(init_module)
REFUSED(kexec_file_load) /* CAP_SYS_BOOT */
REFUSED(kexec_load)
REFUSED(reboot)
REFUSED(setdomainname)   /* CAP_SYS_ADMIN */
REFUSED(sethostname)
REFUSED(swapoff)
REFUSED(syslog)          /* CAP_SYSLOG, where kernel.dmesg_restrict is set, as in Debian */

#define SWAP_FLAGS 0x7FFFFU /* include/linux/swap.h */

int64_t sys_swapon(const struct arguments *arguments)
{
    return ((uint32_t)arguments->at[1] & ~SWAP_FLAGS) != 0 ? -EINVAL : -EPERM;
}

#define PORTS 65536U
#define LEVEL_MAX 3U

/* Ports of the machine (ioperm(2), iopl(2)): who asks for none has them. */
int64_t sys_ioperm(const struct arguments *arguments)
{
    uint64_t from = arguments->at[0], count = arguments->at[1];
    bool is_valid = from + count > from && from + count <= PORTS;
    return !is_valid ? -EINVAL : (int32_t)arguments->at[2] != 0 ? -EPERM : 0;
}

int64_t sys_iopl(const struct arguments *arguments)
{
    uint32_t level = (uint32_t)arguments->at[0];
    return level > LEVEL_MAX ? -EINVAL : level > 0 ? -EPERM : 0;
}
