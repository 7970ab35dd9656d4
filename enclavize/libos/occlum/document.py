"""The Occlum.json of a converted image: of the image's configuration, the options and the user's table."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from enclavize.compat.first_line_rules import unread_first_line
from enclavize.compat.program import MAX_SCRIPTS, split_line
from enclavize.errors import IncompatibleImageError, UsageError
from enclavize.libos.builtin.process import DEFAULT_PATH, environment
from enclavize.libos.occlum.libraries import with_library_path
from enclavize.libos.occlum.schema import bytes_of, is_size
from enclavize.libos.occlum.template import HOST_FOLDER, merged, size_text, template
from enclavize.libos.occlum.versions import Change
from enclavize.rootfs.entry import FileType
from enclavize.tee.policy import TERMINATION_LOG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from enclavize.libos.base import InstanceOptions
    from enclavize.libos.occlum.versions import Release
    from enclavize.oci.image_config import ImageConfig
    from enclavize.rootfs.tree import Rootfs
    from enclavize.tee.policy import Policy

HOME = "/root"
"""Everything runs as uid 0."""

_PAGE_SIZE = 4096
_HEAP, _HEAP_MAX = "kernel_space_heap_size", "kernel_space_heap_max_size"
_EXECUTABLE = 0o111
_SCRIPT_HEAD = 64
"""Bytes that Occlum has of a script (read_elf64_lazy_as_vec in rcore-fs/src/vfs.rs of occlum/sefs)."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What the engine starts: an absolute path inside the LibOS, and arguments."""

    path: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]


def find_program(rootfs: Rootfs, config: ImageConfig, release: Release) -> Program:
    """Find the program as an engine would, but keep the links in its path: its name may decide what it does.

    Raises IncompatibleImageError.
    """
    words = config.entrypoint or config.cmd
    if not words:
        raise IncompatibleImageError(
            "the image names no program to run: it has neither an entrypoint nor a command",
            hint="set ENTRYPOINT in the image; of dir:PATH: --entrypoint",
        )
    start = _interpreted(rootfs, _located(rootfs, words[0], config), release)
    if config.entrypoint:
        return Program(path=start[0], entrypoint=(*start, *config.entrypoint[1:]), command=config.cmd)
    return Program(path=start[0], entrypoint=start, command=config.cmd[1:])


def make_document(
    release: Release, config: ImageConfig, program: Program, options: InstanceOptions, *, glibc: bool
) -> dict[str, Any]:
    """Return the document without the user's table. Raises UsageError for what Occlum cannot hold."""
    policy, resources = options.policy, options.resources
    document = template(release)
    document["resource_limits"] |= {
        "user_space_size": size_text(-(-resources.memory // _PAGE_SIZE) * _PAGE_SIZE),
        "max_num_of_threads": resources.threads,
    }
    if resources.kernel_heap is not None:
        heap = -(-resources.kernel_heap // _PAGE_SIZE) * _PAGE_SIZE
        document["resource_limits"][_HEAP] = size_text(heap)
    variables = [*document["env"]["default"], *environment(config, HOME)]
    document["entry_points"] = _entry_points(program, policy)
    document["env"] = {
        "default": with_library_path(variables) if glibc else variables,
        "untrusted": [variable.name for variable in policy.allowed_environment],
    }
    document["metadata"] |= {
        "product_id": options.isv_prod_id,
        "version_number": options.isv_svn,
        "debuggable": options.debuggable,
    }
    document["mount"].remove(HOST_FOLDER)
    document["mount"] += _host_mounts(policy)
    return document


def with_table(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a user's table over a document: variables by name, mounts by target, all else by member."""
    result = merged(document, changes)
    env = changes.get("env")
    variables = env.get("default") if isinstance(env, dict) else None
    if isinstance(variables, list) and all(isinstance(item, str) for item in variables):
        names = {item.partition("=")[0] for item in variables}
        kept = [item for item in document["env"]["default"] if item.partition("=")[0] not in names]
        result["env"]["default"] = [*kept, *variables]
    mounts = changes.get("mount")
    if isinstance(mounts, list) and all(isinstance(mount, dict) for mount in mounts):
        targets = [mount.get("target") for mount in mounts]
        result["mount"] = [mount for mount in document["mount"] if mount["target"] not in targets] + mounts
    return result


def within_given_heap(document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Let a table that gives the kernel's heap a largest size alone limit the first one, too."""
    given = changes.get("resource_limits")
    if isinstance(given, dict) and _HEAP_MAX in given and _HEAP not in given:
        limits = document["resource_limits"]
        if is_size(most := given[_HEAP_MAX]) and bytes_of(most) < bytes_of(limits[_HEAP]):
            limits[_HEAP] = most
    return document


def _located(rootfs: Rootfs, name: str, config: ImageConfig) -> str:
    variables = dict(item.partition("=")[::2] for item in config.env)
    folders = [""] if "/" in name else (variables.get("PATH") or DEFAULT_PATH).split(":")
    for folder in folders:
        path = posixpath.normpath(posixpath.join("/", config.working_dir, folder, name)).replace("//", "/")
        entry = rootfs.find(path)
        if entry is not None and entry.type is FileType.REGULAR and entry.mode & _EXECUTABLE:
            return path
    raise IncompatibleImageError(
        f"the program {name!r} is not in the image", hint="check ENTRYPOINT, CMD and PATH of the image"
    )


def _interpreted(rootfs: Rootfs, path: str, release: Release) -> tuple[str, ...]:
    """Return the words that start a program, as Linux makes them of first lines that Occlum does not read.

    Occlum takes all of a line, if it ends in what was read of the file, as the name of the interpreter, which
    must be an ELF file (src/libos/src/process/do_spawn/exec_loader.rs); Linux splits off one argument, and
    follows scripts of scripts (fs/binfmt_script.c). A script that Occlum starts itself stays the program:
    then no host can give the interpreter another one.
    """
    words: tuple[str, ...] = (path,)
    read = True
    for depth in range(MAX_SCRIPTS):
        entry = rootfs.find(words[0])
        if entry is None or not entry.interpreter_line:
            break
        interpreter, argument = split_line(entry.interpreter_line)
        words = (posixpath.join("/", interpreter), *([argument] if argument else []), *words)
        least = 0 if release.has(Change.SHORT_SCRIPTS) else _SCRIPT_HEAD
        read = not (depth or argument or unread_first_line(entry, _SCRIPT_HEAD, least))
    return (path,) if read else words


def _entry_points(program: Program, policy: Policy) -> list[str]:
    if policy.allow_any_exec:
        return ["/"]
    others = [command[0] for command in policy.allowed_exec]
    for path in others:
        if not path.startswith("/"):
            raise UsageError(
                f"--allow-exec {path!r}: Occlum starts programs by absolute paths alone",
                hint="write the whole path; its arguments will be the host's to choose",
            )
    return sorted({program.path, *others})


def _host_mounts(policy: Policy) -> Iterable[dict[str, Any]]:
    for volume in policy.volumes:
        if volume.path == TERMINATION_LOG:
            raise UsageError(f"--volume {volume.path}: Occlum has no files of the host among its devices")
        if volume.read_only:
            raise UsageError(
                f"--volume {volume.path}:ro: Occlum cannot mount a folder of the host read-only",
                hint="leave :ro out, and make it read-only where the image is run",
            )
        if not volume.executable:
            raise UsageError(
                f"--volume {volume.path}: Occlum cannot keep a program from running files of the host",
                hint=f"if that is what you want, write --volume {volume.path}:exec",
            )
        yield {"target": volume.path, "type": "hostfs", "source": volume.path}
