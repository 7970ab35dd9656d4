/* Who a thread is: credentials(7), capabilities(7). Each thread has its own, as in Linux; libraries change those of all
 * threads together. */
#ifndef ENCLAVIZE_CREDENTIALS_H
#define ENCLAVIZE_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#define GROUPS_MAX 64

struct ids {
    uint32_t real, effective, saved, file_system;
};

enum capability {
    CAP_CHOWN = 0, CAP_DAC_OVERRIDE = 1, CAP_FOWNER = 3, CAP_FSETID = 4, CAP_KILL = 5, CAP_SETGID = 6, CAP_SETUID = 7,
    CAP_SETPCAP = 8, CAP_NET_BIND_SERVICE = 10, CAP_SYS_CHROOT = 18, CAP_SYS_PTRACE = 19, CAP_SYS_ADMIN = 21, CAP_SYS_NICE = 23, CAP_SYS_RESOURCE = 24,
    CAP_MKNOD = 27, CAP_LAST = 40,
};
#define CAPABILITY_BIT(capability) (1ULL << (capability))

/* What uid 0 starts with: of docker's default set, those that mean something here. */
#define CAPABILITIES_OF_ROOT                                                                                 \
    (CAPABILITY_BIT(CAP_CHOWN) | CAPABILITY_BIT(CAP_DAC_OVERRIDE) | CAPABILITY_BIT(CAP_FOWNER) |             \
     CAPABILITY_BIT(CAP_FSETID) | CAPABILITY_BIT(CAP_KILL) | CAPABILITY_BIT(CAP_SETGID) |                    \
     CAPABILITY_BIT(CAP_SETUID) | CAPABILITY_BIT(CAP_SETPCAP) | CAPABILITY_BIT(CAP_NET_BIND_SERVICE) |       \
     CAPABILITY_BIT(CAP_SYS_CHROOT) | CAPABILITY_BIT(CAP_MKNOD))

/* capabilities(7), "The securebits flags"; above each of them is the one that locks it. */
enum secure_bit {
    SECURE_NOROOT = 1,              /* execve(2) gives uid 0 no capabilities */
    SECURE_NO_SETUID_FIXUP = 4,     /* a change of ids leaves capabilities alone */
    SECURE_KEEP_CAPS = 16,          /* those that are permitted outlive the last id 0; until the next execve(2) */
    SECURE_NO_CAP_AMBIENT_RAISE = 64,
    SECURE_BITS = 0x55,
    SECURE_LOCKS = 0xAA,
};

struct credentials {
    struct ids user, group;
    uint32_t groups[GROUPS_MAX];
    uint32_t group_count;
    uint64_t permitted, effective, inheritable, bounding, ambient;
    uint32_t secure_bits;    /* enum secure_bit */
    bool no_new_privileges;  /* PR_SET_NO_NEW_PRIVS */
};

/* What the calling thread acts by; before there is one, those of the measured configuration. */
const struct credentials *credentials(void);
/* access(2) is answered for the real ids (access_override_creds() of Linux). Until credentials_revert() the calling
 * thread acts by `acting`; what others are told of it stays. */
void credentials_override_by_real(struct credentials *acting);
void credentials_revert(void);
/* Those of the measured configuration. */
const struct credentials *credentials_measured(void);
static inline bool credentials_are_all(const struct ids *ids, uint32_t id)
{
    return ids->real == id && ids->effective == id && ids->saved == id;
}
/* The calling thread may do what the capability allows. */
bool is_capable(enum capability capability);
/* gid is the thread's file system group or one of its supplementary groups. */
bool is_in_group(uint32_t gid);

void credentials_start(uint32_t uid, uint32_t gid, const void *groups, uint32_t group_count);

/* Before the program starts: make its first thread root, as runc is while it prepares a container, and what it was. */
void credentials_lend_root(struct credentials *kept);
void credentials_take_back(const struct credentials *kept);

/* prctl(2): the options that concern credentials; -ENOSYS: another option. */
int64_t credentials_prctl(const uint64_t arguments[5]);

#endif
