"""Read what a 64-bit ELF file imports, and the versions that it needs and defines. Nothing raises.

Sources: System V gABI, chapter 4, "Symbol Table"; Linux Standard Base Core, "Symbol Versioning".
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from enclavize.rootfs.accelerator import ELF64_SYMBOL_SIZE, native_undefined_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_SYMBOLS = 65536
SYMBOL_SIZE = ELF64_SYMBOL_SIZE
MAX_VERSIONS_SIZE = 64 << 10
"""Bytes of .gnu.version_r and of .gnu.version_d that are looked at."""
MAX_VERSIONS = 1024
MAX_NAME = 64

WATCHED = frozenset(
    b"""
    fork _Fork vfork clone posix_spawn posix_spawnp system popen wordexp daemon forkpty execv execve execvp
    execvpe execl execlp execle fexecve
    socket connect bind listen accept accept4 socketpair getaddrinfo recvmmsg sendmmsg
    dlopen syscall pthread_create
    io_uring_queue_init io_uring_setup io_setup io_submit inotify_init inotify_init1 fanotify_init signalfd
    timerfd_create timer_create eventfd memfd_create userfaultfd perf_event_open membarrier copy_file_range
    splice tee vmsplice setitimer alarm getrusage times ptrace seccomp unshare setns mount chroot pivot_root
    shm_open shmget semget msgget mq_open sem_open setxattr getxattr renameat2 statx name_to_handle_at
    process_vm_readv process_vm_writev mlock mlockall mbind get_mempolicy set_mempolicy waitid
    sched_setscheduler pidfd_open epoll_pwait2 preadv2 pwritev2 mremap symlink link
    utimensat futimens utimes utime lutimes futimes futimesat prctl setresuid setresgid setreuid setregid
    capset linkat symlinkat gettid reallocarray qsort_r pthread_getname_np tcgetwinsize tcsetwinsize
    """.split()
)
"""Imports that tell something about a program; others are not kept."""

_SYMBOL = struct.Struct("<IBBHQQ")
_VERNEED = struct.Struct("<HHIII")
_VERNAUX = struct.Struct("<IHHII")
_VERDEF = struct.Struct("<HHHHIII")
_VERDAUX = struct.Struct("<II")
_SHN_UNDEF = 0
_STB_WEAK = 2
_VERSION = re.compile(rb"(GLIBC|GLIBCXX|CXXABI|GCC)_(\d+(?:\.\d+){0,3})")
_IMPLIED_VERSIONS = {b"GLIBC_ABI_DT_RELR": b"GLIBC_2.36"}


def watched_imports(symbols: bytes, strings: bytes) -> tuple[str, ...]:
    """Return the names in ``WATCHED`` that a symbol table has undefined, but not weak; sorted."""
    found = set()
    whole = min(len(symbols), MAX_SYMBOLS * SYMBOL_SIZE)
    for name in undefined_names(symbols[: whole - whole % SYMBOL_SIZE]):
        end = strings.find(b"\0", name, name + MAX_NAME)
        if end > 0 and (text := strings[name:end]) in WATCHED:
            found.add(text.decode())
    return tuple(sorted(found))


def undefined_names(symbols: bytes) -> Sequence[int]:
    """Return where the names of the symbols are that are undefined, but not weak, and have one."""
    if (native := native_undefined_names()) is not None:
        return native(symbols)
    return [
        name
        for name, info, _, section, _, _ in _SYMBOL.iter_unpack(symbols)
        if section == _SHN_UNDEF and name and info >> 4 != _STB_WEAK
    ]


def needed_versions(table: bytes, strings: bytes) -> tuple[str, ...]:
    """Return the highest version of each family in .gnu.version_r, as ``GLIBC_2.34``; sorted."""
    return _highest(_needed_names(table), strings)


def defined_versions(table: bytes, strings: bytes) -> tuple[str, ...]:
    """Return the highest version of each family in .gnu.version_d; sorted."""
    return _highest(_defined_names(table), strings)


def _highest(names: Iterator[int], strings: bytes) -> tuple[str, ...]:
    highest: dict[bytes, tuple[int, ...]] = {}
    for offset in names:
        end = strings.find(b"\0", offset, offset + MAX_NAME)
        if end <= 0:
            continue
        text = strings[offset:end]
        if match := _VERSION.fullmatch(_IMPLIED_VERSIONS.get(text, text)):
            version = tuple(int(part) for part in match[2].split(b"."))
            highest[match[1]] = max(version, highest.get(match[1], ()))
    return tuple(f"{family.decode()}_{'.'.join(map(str, highest[family]))}" for family in sorted(highest))


def _defined_names(table: bytes) -> Iterator[int]:
    """Yield the string offsets of the names of all definitions."""
    at = 0
    for _ in range(MAX_VERSIONS):
        if at + _VERDEF.size > len(table):
            return
        *_, auxiliary, following = _VERDEF.unpack_from(table, at)
        if at + auxiliary + _VERDAUX.size <= len(table):
            yield _VERDAUX.unpack_from(table, at + auxiliary)[0]
        if not following:
            return
        at += following


def _needed_names(table: bytes) -> Iterator[int]:
    """Yield the string offsets of all versions. What is looked at only moves on: there is no endless loop."""
    at, left = 0, MAX_VERSIONS
    while left and at + _VERNEED.size <= len(table):
        _, count, _, auxiliary, following = _VERNEED.unpack_from(table, at)
        where = at + auxiliary
        for _ in range(min(count, left)):
            left -= 1
            if where + _VERNAUX.size > len(table):
                break
            _, _, _, name, distance = _VERNAUX.unpack_from(table, where)
            yield name
            if not distance:
                break
            where += distance
        left = max(left - 1, 0)
        if not following:
            return
        at += following
