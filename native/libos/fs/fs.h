/*
 * The fs room: files, descriptors, paths, and the calls about them. What mappings and programs need of files it gives as
 * file_upcalls (memory/) and process_upcalls (process/). For the room above: how a kind of file is made (file.h), paths and
 * descriptors (call_support.h), how files are waited for (poller.h, epoll.h), and pipes.
 */
#ifndef ENCLAVIZE_FS_H
#define ENCLAVIZE_FS_H

#include "fs/ahead.h"
#include "fs/call_support.h"
#include "fs/epoll.h"
#include "fs/file.h"
#include "fs/pipe.h"
#include "fs/poller.h"
#include "fs/synthetic.h"

/* Files of /proc/net. */
enum network_file { NETWORK_DEVICES, NETWORK_IPV6_ADDRESSES, NETWORK_TCP, NETWORK_TCP6, NETWORK_UDP, NETWORK_UDP6,
    NETWORK_UNIX, NETWORK_ROUTES, NETWORK_NEIGHBOURS, NETWORK_COUNTERS, NETWORK_SOCKETS, NETWORK_SOCKETS6 };

/* What the fs room needs of the room above. */
struct fs_upcalls {
    /* net: */
    void (*describe_network)(enum network_file file, struct text *text);
    /* Is it a netlink socket? 0, -ENOTSOCK, -EINVAL: of another family. */
    int64_t (*check_netlink)(const struct file *file);
    /* It receives this from the kernel. */
    void (*tell_by_netlink)(const struct file *file, const void *bytes, size_t size);
    /* The host has read this ahead of a socket, in the wait of its epoll `events_fd`; given away, for ahead_give().
     * activity: host_activity() when it was so. */
    void (*take_ahead)(struct host_ahead *ahead, int events_fd, uint64_t activity);
};
extern struct fs_upcalls fs_upcalls;

/* Call once, on the first thread, when memory and locks work. 0, or a negative errno when the measured
 * configuration does not name a usable root file system. Of the image, the root directory's block is read. */
int64_t fs_start(const struct configuration *configuration);

/* Go to the measured directory before the program starts, as root and by way of mkdir -p: so engines and runc do it,
 * whether or not the program's user may enter it (moby, container.SetupWorkingDirectory; runc, finalizeNamespace).
 * `path` is absolute, and written to in between. */
int64_t fs_enter_directory(char *path);

#endif
