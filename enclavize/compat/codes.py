"""The codes of findings: stable names, and what ``enclavize explain`` says about them."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill

from enclavize.errors import UsageError

_WIDTH = 80
"""Columns of explanations."""


@dataclass(frozen=True)
class Code:
    """One rule: a short title, and the text that explains it.

    ``weakens``: what it warns of makes the enclave protect less, which ``--production`` does not let pass.
    """

    title: str
    text: str
    weakens: bool = False


CODES = {
    "OCC001": Code(
        "no program",
        "The image has neither ENTRYPOINT nor CMD. What runs in an enclave is measured, so it must be known "
        "when the image is built.",
    ),
    "OCC002": Code(
        "program not found",
        "The program is looked for as execvp(3) does: in the folders of PATH if the name has no slash, "
        "through symbolic links, and from a script to the interpreter in its first line. Somewhere on that "
        "way a file is missing in the image, or is no regular file.",
    ),
    "OCC003": Code(
        "not executable",
        "The program has no execute permission for anybody. LibOSes refuse it with EACCES, as Linux does.",
    ),
    "OCC004": Code(
        "program for another machine",
        "SGX exists on 64-bit x86 only. 32-bit code cannot run in an enclave, and there is no emulation.",
    ),
    "OCC005": Code(
        "loader missing",
        "A dynamic program names its loader (PT_INTERP), such as /lib/ld-musl-x86_64.so.1, and that file is "
        "not in the image. Typical: a program built on Debian, copied into Alpine.",
    ),
    "OCC006": Code(
        "unknown C library",
        "The LibOS has no support for the C library of the program, which its loader tells.",
    ),
    "OCC007": Code(
        "library missing",
        "A library in DT_NEEDED was not found where the loader looks: RPATH and RUNPATH with $ORIGIN, "
        "LD_LIBRARY_PATH, /etc/ld.so.conf or /etc/ld-musl-x86_64.path, and the default folders.",
    ),
    "OCC008": Code(
        "static program",
        "Some LibOSes put their own C library in the place of the image's, to catch system calls. A static "
        "program has none to replace, and no loader that the LibOS could start.",
    ),
    "OCC009": Code(
        "fixed address",
        "The program is linked for one address (ET_EXEC). Where enclave memory is not at that address, it "
        "cannot run; a position independent executable (PIE) can.",
    ),
    "OCC010": Code(
        "script of a script",
        "The interpreter of a script is itself a script, to a depth that the LibOS does not follow.",
    ),
    "OCC011": Code(
        "setuid has no effect",
        "There is one user in an enclave, and no privilege to gain: setuid and setgid bits are ignored.",
    ),
    "OCC012": Code(
        "file not readable",
        "The user that the image runs as has no permission to read the file, so that opening it will fail.",
    ),
    "OCC013": Code(
        "working directory",
        "Engines make the working directory of a container if it is not there, and go there as root, whether "
        "or not the program's user may enter it. Some LibOSes start all programs in the root.",
    ),
    "OCC014": Code(
        "unknown format",
        "The program is neither an ELF file nor a script that begins with #!. Shells run such files by "
        "themselves; a LibOS gives ENOEXEC.",
    ),
    "OCC015": Code(
        "script with arguments",
        "Linux splits the first line of a script into an interpreter and one argument. Some LibOSes take the "
        "whole line as the name of the interpreter, and do not find it: #!/usr/bin/env python3. Occlum also "
        "finds none if the line does not end in the first 64 bytes of the file. Builds for "
        "Occlum split the line of the entrypoint, and start its interpreter in its place: then the host may "
        "give that interpreter other arguments. Other scripts with such lines fail.",
    ),
    "OCC016": Code(
        "glibc too old in the LibOS",
        "The LibOS brings its own glibc, and a file needs symbols of a newer one (.gnu.version_r). The "
        "loader will say: version `GLIBC_2.34' not found.",
    ),
    "OCC017": Code(
        "musl too old in the LibOS",
        "The LibOS brings its own musl, and a file needs what came later: functions, of which the loader "
        "says symbol not found, or relative relocations (DT_RELR), without which the program crashes.",
    ),
    "OCC018": Code(
        "two C libraries",
        "Files made for musl and for glibc meet in one program. Two C libraries in one process have two "
        "heaps and two ideas of a thread.",
    ),
    "OCC019": Code(
        "fork",
        "The file imports fork, or something that is built on it. Whether it is ever called cannot be told. "
        "Where there is no fork it fails with ENOSYS.",
    ),
    "OCC020": Code(
        "new processes",
        "The file imports posix_spawn, vfork, system, popen or execve. Whether they are ever called cannot "
        "be told.",
    ),
    "OCC021": Code(
        "network",
        "The file imports functions of sockets, and the LibOS has none.",
    ),
    "OCC022": Code(
        "system call not served",
        "The file imports a function whose system call the LibOS does not serve. Many programs and libraries "
        "ask for a feature and do without it where it is missing.",
    ),
    "OCC023": Code(
        "system calls of its own",
        "The file has syscall instructions outside the C library. In some LibOSes each is an exception, "
        "which is slow, or is not possible. The numbers are a hint: there is no disassembler behind them.",
    ),
    "OCC024": Code(
        "instruction without meaning in an enclave",
        "int 0x80, sysenter and on some CPUs rdtscp raise an exception in an enclave.",
    ),
    "OCC025": Code(
        "damaged ELF file",
        "The headers or tables of the file contradict each other or lie outside it. What could be read was "
        "checked; the rest is unknown.",
    ),
    "OCC026": Code(
        "executable stack or relocated code",
        "The file asks for an executable stack, or has relocations in its code, so that pages must be "
        "writable and executable.",
        weakens=True,
    ),
    "OCC027": Code(
        "C++ library too old in the LibOS",
        "The LibOS brings its own libstdc++ and libgcc_s, which come first where libraries are looked for, "
        "and a file needs newer symbols (.gnu.version_r).",
    ),
    "OCC028": Code(
        "library too old in the image",
        "A file needs versions of symbols (.gnu.version_r) that no library of the program defines "
        "(.gnu.version_d). Typical: a program built on one distribution, copied into an older one. The "
        "loader will say: version `GLIBCXX_3.4.30' not found.",
    ),
    "OCC030": Code(
        "language runtime",
        "The program was recognised as that of a language runtime, for which the LibOS has advice.",
    ),
    "OCC031": Code(
        "other programs in the image",
        "Files that the entrypoint does not lead to, but that it may start or load, could not run.",
    ),
    "OCC032": Code(
        "file hidden by a mount",
        "The LibOS mounts file systems of its own over some folders, such as /dev and /proc, so that a "
        "program does not see what the image has there.",
    ),
    "OCC033": Code(
        "file left out by the LibOS's tools",
        "The tools that come with the LibOS take no files from some folders. Gramine's gsc does not hash "
        "those below /var, where web servers keep their pages: opening them fails with EACCES until the "
        "manifest names them in sgx.trusted_files.",
    ),
    "OCC034": Code(
        "file of the host in the place of the image's",
        "/etc/hosts, /etc/hostname and /etc/resolv.conf are the host's at run time. Occlum writes them when "
        "the enclave starts: the host decides where names lead to, so peers must be authenticated. Under "
        "Gramine they are what the container engine mounts, which has another hash than the image's: allow "
        "them, or set sys.enable_extra_runtime_domain_names_conf.",
        weakens=True,
    ),
    "OCC035": Code(
        "file of the LibOS in the place of the image's",
        "The LibOS brings these files itself. Updates of those in the image, security fixes too, have no "
        "effect.",
    ),
    "OCC036": Code(
        "FIFOs and devices",
        "The LibOS keeps no special files of the image: SEFS drops them, Gramine takes regular files only.",
    ),
    "OCC037": Code(
        "users without meaning",
        "The LibOS keeps no owners of files and runs everything as root. Programs that refuse to run as "
        "root, or count on being refused, behave in another way.",
    ),
    "OCC038": Code(
        "libraries opened by name",
        "dlopen is imported. What is opened is known at run time only: name service switch, plug-ins, "
        "codecs, modules of languages. OCC031 tells of those in the image that could not run.",
    ),
    "OCC039": Code(
        "shared memory",
        "shm_open or sem_open is imported. Memory shared by processes of one enclave, or of several, is "
        "missing or partial in LibOSes; under Gramine it lies outside the enclave, unprotected.",
        weakens=True,
    ),
    "OCC040": Code(
        "no resolv.conf",
        "Container engines put an /etc/resolv.conf into a container when it starts, so images have none. "
        "Where the LibOS sees the image only, names of hosts cannot be resolved.",
    ),
    "OCC041": Code(
        "env needs execve",
        "The first line of a script names env, which looks for the interpreter and replaces itself by it "
        "(execve). Where there is no execve, env fails. The full name of the interpreter needs none.",
    ),
    "OCC050": Code(
        "needs a new process",
        "The entrypoint is a shell or a launcher (tini, gosu, env ...) whose command or script cannot come "
        "to its end without a new process: shells start each program that is not built in, each pipeline "
        "and each command substitution in a child. What follows a condition is not counted. Shells whose "
        "script cannot be read, or has words that only expand at run time, get no such finding. Servers that "
        "are known to fork their workers (nginx, Apache, PostgreSQL, PHP-FPM) get one, too. Occlum has a "
        "bash of its own since 0.24.1, which starts commands, pipelines and subshells by posix_spawn: "
        "/opt/occlum/toolchains/bash/glibc/bash and musl/bash of its installation. In the place of the "
        "image's shell it needs no fork, but for coproc; <(...) is not known to work.",
    ),
    "OCC051": Code(
        "serves a port",
        "The image exposes a port (EXPOSE), and the program is able to listen. Without sockets it cannot.",
    ),
    "OCC052": Code(
        "system calls without the C library",
        "Programs of the ordinary Go toolchain make system calls and threads themselves. A LibOS that "
        "stands in the place of the C library does not see them there, and refuses threads made in Go's "
        "way: clone without CLONE_SETTLS.",
    ),
    "OCC053": Code(
        "network of the image",
        "What a build decides about the network: an image that exposes a port gets --allow-network all, any "
        "other one loopback, so that its program reaches nothing outside of the container. "
        "--allow-network says otherwise.",
    ),
    "OCC054": Code(
        "workers share a processor",
        "A server that is known to fork its workers (nginx, Apache, PostgreSQL, PHP-FPM, gunicorn, uWSGI, "
        "Celery), as the program or as what an entrypoint or a launcher is given. A page of an "
        "enclave has one address, so processes that are forked from one another take turns: the server "
        "serves, but more workers make it no faster, and one that computes makes others wait for its slice.",
    ),
    "OCC055": Code(
        "addresses outside of any enclave",
        "ZGC keeps what it knows of an object in the upper bits of pointers, and so puts its heap at "
        "addresses from 4 TiB on. An enclave's range of addresses ends far below: the JVM ends at once with "
        "'Failed to reserve enough address space'. G1, Parallel, Serial and Shenandoah have no such wish. "
        "MariaDB reserves 8 TiB unless it is told a largest size of its buffer pool; Valgrind, CLISP and "
        "what is built with -fsanitize=address or thread want addresses of their own.",
    ),
    "OCC056": Code(
        "health check and other commands from outside",
        "Engines run health checks, exec probes and lifecycle hooks as further commands in the container. "
        "The builtin LibOS starts those that are measured: the image's health check, and what a build names "
        "by --allow-exec. All others are refused with 126, so a probe that no build has named fails. A "
        "health check whose program is not in the image fails always. Other LibOSes take no commands.",
    ),
    "OCC057": Code(
        "becomes another user",
        "Entrypoints of servers start as root and go on as another user, by gosu, su-exec, setpriv, capsh "
        "and the like. Where the LibOS lacks the system calls for that, they end there; su, runuser and sudo "
        "also where their session of PAM cannot begin. With USER in the image there is nothing to drop, and "
        "such entrypoints start the server themselves.",
    ),
    "OCC058": Code(
        "known not to work without",
        "The program is known by its name, and that it does not work without a system call which the LibOS "
        "does not serve: PostgreSQL without System V's shared memory, gunicorn and touch without utimensat, "
        "programs of Haskell and Dart without timerfd_create. It is a warning where only some of its work "
        "needs the call (Ruby without getresuid), and a note where it only writes a line about it: Ruby "
        "without timer_create, PHP-FPM and Apache without options of TCP.",
    ),
    "OCC059": Code(
        "folder cannot be written",
        "Natively the program's user may write to the folder. Gramine keeps the image's files as they were "
        "measured: programs can write to volumes and to folders in memory alone. It is an error where a "
        "known program ends without its folder, or a script certainly ends with that. --tmpfs PATH makes a "
        "folder such, --volume PATH opens it to the host; VOLUMEs of the image, /tmp, /run and /dev/shm are "
        "in memory by themselves.",
    ),
    "OCC060": Code(
        "files in memory are not shared",
        "Each process has folders in memory (/tmp, /run, /dev/shm) of its own under Gramine: what a script "
        "writes there, the programs that it starts do not find. It is an error where the script certainly "
        "ends with that: a command that reads such a file, under set -e or as the last one. A volume is "
        "shared, and so is a mount of the type encrypted.",
    ),
    "OCC061": Code(
        "logs by links",
        "Images of servers have links in the place of log files, to /dev/stdout and /dev/stderr. The host "
        "follows links of an image behind Gramine's back, and Gramine opens no pipes of the host. Its own "
        "/dev/stdout and /dev/stderr work: the program's configuration can name them. A folder in memory "
        "(--tmpfs) hides the links; what is logged there is lost.",
    ),
    "OCC062": Code(
        "pipes by a name",
        "bash's <(...) and >(...) stand for the name of a pipe, /dev/fd/63, which the command opens; so do "
        "/dev/stdin and /proc/self/fd/0 where standard input is a pipe. Gramine opens no pipe by a name: No "
        "such file or directory. It is an error where the script certainly ends with that.",
    ),
    "OCC063": Code(
        "program that was not measured",
        "A script writes a program, or makes one executable, that the image does not have. The builtin LibOS "
        "starts what was measured, and what a volume with the flag exec has: all else is Permission denied. "
        "It is an error where the script certainly ends with that.",
    ),
    "OCC064": Code(
        "standard error among the output",
        "Gramine opens the program's standard error as a duplicate of its standard output, so messages of a "
        "script (echo ... >&2) come out among its output. That matters where a pipe or a file takes the "
        "output as data; of logs both streams mostly go to one place.",
    ),
    "OCC065": Code(
        "signals to a group of processes",
        "dumb-init, tini -g and scripts (kill 0, kill -- -$$) send a signal to a group of processes: that is "
        "how they pass on the signal by which a container is stopped. On Gramine it fails with ENOSYS, or "
        "reaches the sender alone, so the program is ended by SIGKILL when the engine's patience ends.",
    ),
    "OCC066": Code(
        "appending to files",
        "Gramine 1.8 does not look at O_APPEND when it writes: what is appended to a file goes over its "
        "beginning, and nothing fails. Logs that are opened anew, and scripts with >>, lose what was there. "
        "1.9 has mended it. Only scripts can be told of: what other programs open is not known.",
    ),
    "OCC067": Code(
        "no room in the configuration",
        "The builtin LibOS measures the command, the environment, the working directory and the user of an "
        "image in 64 KiB; paths have at most 4,095 bytes, and a user is in at most 64 groups besides the "
        "first. What is more, a build refuses.",
    ),
}  # fmt: skip


def list_codes() -> str:
    """Return all codes with their titles, one in a line."""
    return "".join(f"{name}  {code.title}\n" for name, code in sorted(CODES.items()))


def explain(code: str) -> str:
    """Return the text about a code. Raises UsageError."""
    found = CODES.get(code.upper())
    if found is None:
        raise UsageError(f"there is no code {code}", hint=f"codes: {', '.join(CODES)}")
    text = fill(found.text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return f"{code.upper()}: {found.title}\n\n{text}\n"
