/*
 * Handlers of the file system's calls: rows of the system call table (libos/syscalls.h).
 *
 * Arguments are the six registers, unchecked; a handler copies from and to the application by itself.
 */
#ifndef ENCLAVIZE_FS_CALLS_H
#define ENCLAVIZE_FS_CALLS_H

#include <stdint.h>

#define FS_CALL(name) int64_t call_##name(const uint64_t arguments[6])

/* calls_open.c: opening, closing, duplicating */
FS_CALL(open);
FS_CALL(openat);
FS_CALL(creat);
FS_CALL(close);
FS_CALL(close_range);
FS_CALL(dup);
FS_CALL(dup2);
FS_CALL(dup3);
FS_CALL(fcntl);
FS_CALL(flock);
FS_CALL(memfd_create);

/* calls_io.c: data */
FS_CALL(read);
FS_CALL(write);
FS_CALL(readv);
FS_CALL(writev);
FS_CALL(pread64);
FS_CALL(pwrite64);
FS_CALL(preadv);
FS_CALL(pwritev);
FS_CALL(preadv2);
FS_CALL(pwritev2);
FS_CALL(lseek);
FS_CALL(sendfile);
FS_CALL(copy_file_range);
FS_CALL(truncate);
FS_CALL(ftruncate);
FS_CALL(fallocate);
FS_CALL(fsync);
FS_CALL(fdatasync);
FS_CALL(sync);
FS_CALL(syncfs);
FS_CALL(ioctl);
FS_CALL(fadvise64);

/* calls_status.c: attributes */
FS_CALL(stat);
FS_CALL(lstat);
FS_CALL(fstat);
FS_CALL(newfstatat);
FS_CALL(statx);
FS_CALL(statfs);
FS_CALL(fstatfs);
FS_CALL(access);
FS_CALL(faccessat);
FS_CALL(faccessat2);
FS_CALL(chmod);
FS_CALL(fchmod);
FS_CALL(fchmodat);
FS_CALL(chown);
FS_CALL(lchown);
FS_CALL(fchown);
FS_CALL(fchownat);
FS_CALL(utime);
FS_CALL(utimes);
FS_CALL(futimesat);
FS_CALL(utimensat);
FS_CALL(umask);
FS_CALL(getxattr);
FS_CALL(lgetxattr);
FS_CALL(fgetxattr);
FS_CALL(listxattr);
FS_CALL(llistxattr);
FS_CALL(flistxattr);
FS_CALL(setxattr); /* also lsetxattr, fsetxattr, removexattr, lremovexattr, fremovexattr: -ENOTSUP */

/* calls_names.c: names and directories */
FS_CALL(getdents);
FS_CALL(getdents64);
FS_CALL(getcwd);
FS_CALL(chdir);
FS_CALL(fchdir);
FS_CALL(chroot); /* also mount, umount2, pivot_root: -EPERM */
FS_CALL(readlink);
FS_CALL(readlinkat);
FS_CALL(mkdir);
FS_CALL(mkdirat);
FS_CALL(rmdir);
FS_CALL(unlink);
FS_CALL(unlinkat);
FS_CALL(rename);
FS_CALL(renameat);
FS_CALL(renameat2);
FS_CALL(link);
FS_CALL(linkat);
FS_CALL(symlink);
FS_CALL(symlinkat);
FS_CALL(mknod);
FS_CALL(mknodat);

/* calls_events.c: pipes, events, waiting */
FS_CALL(pipe);
FS_CALL(pipe2);
FS_CALL(eventfd);
FS_CALL(eventfd2);
FS_CALL(timerfd_create);
FS_CALL(timerfd_settime);
FS_CALL(timerfd_gettime);
FS_CALL(epoll_create);
FS_CALL(epoll_create1);
FS_CALL(epoll_ctl);
FS_CALL(epoll_wait);
FS_CALL(epoll_pwait);
FS_CALL(epoll_pwait2);
FS_CALL(poll);
FS_CALL(ppoll);
FS_CALL(select);
FS_CALL(pselect6);

/* The socket family, all of it: -EAFNOSUPPORT for socket and socketpair, -ENOTSOCK or -EBADF for the rest. */
FS_CALL(socket);
FS_CALL(socketpair);
FS_CALL(on_socket); /* bind, connect, listen, accept, accept4, send*, recv*, shutdown, getsockname, getpeername, *sockopt */

#undef FS_CALL
#endif
