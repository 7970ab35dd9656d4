/* /dev/attestation, as Gramine has it (Documentation/attestation.rst of Gramine 1.9, "Low-level /dev/attestation interface"). */
#ifndef ENCLAVIZE_FS_ATTESTATION_H
#define ENCLAVIZE_FS_ATTESTATION_H

#include "fs/inode.h"

/* Its root. 0 or -ENOMEM. */
int64_t attestation_create(struct inode **root);
/* What a process has written for its reports is its own, and goes with it. */
void attestation_leave(struct process *process);

#endif
