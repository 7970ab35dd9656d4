"""What imported functions need: processes, sockets, system calls, or a C library of some age."""

from __future__ import annotations

MUSL_SINCE = {
    **dict.fromkeys(("_Fork", "gettid", "reallocarray", "tcgetwinsize", "tcsetwinsize"), (1, 2, 2)),
    **dict.fromkeys(("qsort_r", "pthread_getname_np"), (1, 2, 3)),
    **dict.fromkeys(("statx", "preadv2", "pwritev2"), (1, 2, 5)),
}
"""What musl did not export before: the export tables of 1.1.24 to 1.2.5 on x86-64 differ in nothing else."""

FORKS = frozenset({"fork", "_Fork", "daemon", "forkpty", "wordexp"})

SPAWNS = frozenset({"posix_spawn", "posix_spawnp", "system", "popen"})
VFORKS = frozenset({"vfork"})
EXECS = frozenset(
    {"execv", "execve", "execvp", "execvpe", "execl", "execlp", "execle", "fexecve"}
)  # fmt: skip

SOCKETS = frozenset(
    {
        "socket", "connect", "bind", "listen", "accept", "accept4", "socketpair", "getaddrinfo", "recvmmsg",
        "sendmmsg",
    }
)  # fmt: skip

RESOLVERS = frozenset({"getaddrinfo"})
CLIENTS = frozenset({"connect", "getaddrinfo"})
"""What programs import that reach out to others."""
SHARED_MEMORY = frozenset({"shm_open", "sem_open"})
"""What libraries build on /dev/shm; System V's functions are system calls."""

CALLS = {
    name: (name,)
    for name in (
        "io_setup", "io_submit", "fanotify_init", "timerfd_create", "timer_create", "memfd_create",
        "userfaultfd", "perf_event_open", "membarrier", "copy_file_range", "splice", "tee", "vmsplice",
        "setitimer", "getrusage", "times", "ptrace", "seccomp", "unshare", "setns", "mount", "chroot",
        "pivot_root", "shmget", "semget", "msgget", "mq_open", "setxattr", "getxattr", "renameat2", "statx",
        "name_to_handle_at", "process_vm_readv", "process_vm_writev", "mlock", "mlockall", "mbind",
        "get_mempolicy", "set_mempolicy", "waitid", "sched_setscheduler", "pidfd_open", "epoll_pwait2",
        "preadv2", "pwritev2", "mremap", "symlink", "link", "linkat", "symlinkat", "io_uring_setup",
        "utimensat", "prctl", "setresuid", "setresgid", "setreuid", "setregid", "capset",
    )
} | {
    "futimens": ("utimensat",),
    "utimes": ("utimes", "utimensat"),
    "utime": ("utime", "utimensat"),
    "lutimes": ("utimensat",),
    "futimes": ("utimensat",),
    "futimesat": ("futimesat",),
    "io_uring_queue_init": ("io_uring_setup",),
    "inotify_init": ("inotify_init", "inotify_init1"),
    "inotify_init1": ("inotify_init1",),
    "signalfd": ("signalfd", "signalfd4"),
    "eventfd": ("eventfd", "eventfd2"),
    "alarm": ("alarm", "setitimer"),
}  # fmt: skip
"""System calls of which each function needs one."""

DISPENSABLE = frozenset(
    {
        "times", "getrusage", "copy_file_range", "statx", "membarrier", "preadv2", "pwritev2", "mremap",
        "renameat2", "prctl", "memfd_create", "epoll_pwait2", "sched_setscheduler", "setresuid", "setresgid",
        "setreuid", "setregid", "capset",
    }
)  # fmt: skip
"""Functions without which programs do: they tell less, or take another way. Those that do not are known by
name (``servers.py``, ``launchers.py``)."""
