/* socketpair(AF_UNIX, SOCK_STREAM): two pipes inside the enclave, one for each direction. */
#ifndef ENCLAVIZE_FS_SOCKET_PAIR_H
#define ENCLAVIZE_FS_SOCKET_PAIR_H

#include "fs/file.h"

int64_t socket_pair_create(uint32_t flags, struct file *ends[2]);

bool is_socket(const struct file *file);

/* Flags of send(2) and recv(2) (Linux, include/linux/socket.h). */
#define MSG_PEEK 0x2U
#define MSG_DONTWAIT 0x40U
#define MSG_NOSIGNAL 0x4000U

/* Buffers are LibOS memory. */
int64_t socket_receive(struct file *socket, void *to, size_t length, uint32_t flags);
int64_t socket_send(struct file *socket, const void *from, size_t length, uint32_t flags);

/* -EINVAL for another `how` than SHUT_RD, SHUT_WR and SHUT_RDWR. */
int64_t socket_shutdown(struct file *socket, uint32_t how);

#endif
