/* Volumes that the engine mounted and the enclave does not look at: a user should hear of them. */
#ifndef RUNELET_MOUNTS_H
#define RUNELET_MOUNTS_H

/* Warn, once, of the mounts below `root` that are neither an engine's standard ones nor volumes of the enclave in `instance`. */
void warn_of_ignored_mounts(const char *root, const char *instance);

#endif
