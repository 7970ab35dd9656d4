/* Natively these programs run as root; in the enclave, root has of docker's capabilities at most. This gives up the others. */
#ifndef DOCKER_RIGHTS_H
#define DOCKER_RIGHTS_H

#include "check.h"

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DOCKER_CAPABILITIES 0xA80425FBULL

static inline void keep_docker_rights(void)
{
    uint32_t header[2] = {0x20080522, 0}; /* _LINUX_CAPABILITY_VERSION_3 */
    uint32_t sets[2][3];
    CHECK(syscall(SYS_capget, header, sets) == 0);
    for (int set = 0; set < 3; set++) {
        sets[0][set] &= (uint32_t)DOCKER_CAPABILITIES;
        sets[1][set] = 0;
    }
    CHECK(syscall(SYS_capset, header, sets) == 0);
}

#endif
