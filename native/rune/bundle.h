/* What a bundle is: ordinary, or made from a TEE image. */
#ifndef RUNE_BUNDLE_H
#define RUNE_BUNDLE_H

#include "verdict.h"

/* A bundle is TEE if <rootfs>/.enclave/enclave.json is a regular file that no symbolic link leads to. */
struct verdict bundle_kind(const char *bundle);

/* The same of a root file system; `path` as openat(2) takes it. One that is not there is ordinary. */
struct verdict rootfs_kind(int directory, const char *path);

#endif
