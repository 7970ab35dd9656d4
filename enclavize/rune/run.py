"""``enclavize run``: from a reference to a running container, without any daemon."""

from __future__ import annotations

import os
import posixpath
import sys
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError, UsageError
from enclavize.oci.storage import storage_errors
from enclavize.oci.unpacked import in_use
from enclavize.resources import native_file
from enclavize.rune.bundle import STATE, runtime_folder, temporary_bundle
from enclavize.rune.capabilities import DEFAULT as DEFAULT_CAPABILITIES
from enclavize.rune.container import BindMount, Container, container_spec
from enclavize.rune.enclave import LAYERS, RUNELETS, read_description
from enclavize.rune.mode import SIMULATE_VARIABLE
from enclavize.rune.mountpoints import mountpoints
from enclavize.rune.runc import find_runc
from enclavize.rune.store import unpacked_image
from enclavize.rune.supervise import REPORT_DESCRIPTOR, run_container, take_undecided
from enclavize.tee.policy import TERMINATION_LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from enclavize.oci.location import Location
    from enclavize.progress import Reporter
    from enclavize.rune.bundle import Bundle
    from enclavize.rune.policy import NodePolicy
    from enclavize.rune.publish import PublishedPort
    from enclavize.rune.sgx_devices import Device
    from enclavize.tee.description import TeeDescription
    from enclavize.tee.host_files import HostFiles
    from enclavize.tee.policy import Policy

_USER_NAMESPACE_SWITCHES = (
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/user/max_user_namespaces",
)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What the user asks for. ``volumes`` are (host path, container path, read-only).

    ``enclu`` (trap, step) makes simulation strict. ``trace`` and ``profile`` (text, json) go to standard
    error, or to the file ``report``.
    """

    image: Location
    arguments: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    volumes: tuple[tuple[Path, str, bool], ...] = ()
    name: str | None = None
    simulate: bool = False
    enclu: str = ""
    log_level: str = ""
    trace: bool = False
    profile: str = ""
    report: Path | None = None
    mrsigners: tuple[bytes, ...] = ()
    toolchain: str | None = None
    host_files: tuple[HostFiles, ...] = ()
    stdin: bool = False
    terminal: bool = False
    host_network: bool = False
    published: tuple[PublishedPort, ...] = ()
    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    devices: tuple[Device, ...] = ()
    insecure: bool = False


def unpack(
    options: RunOptions,
    cache_bound: Callable[[], int],
    progress: Callable[[], AbstractContextManager[Reporter]],
) -> Path:
    """Make the image's tree ready, once for each image. Raises EnclavizeError.

    If there was something to unpack, the cache is kept within ``cache_bound`` bytes then.
    """
    return unpacked_image(
        options.image,
        cache_bound=cache_bound,
        insecure=options.insecure,
        progress=progress,
    )


def run(options: RunOptions, tree: Path) -> int:
    """Run the image unpacked at ``tree`` to its end; return its exit code. Raises EnclavizeError."""
    if options.terminal and not _has_terminal():
        raise UsageError("--tty: there is no terminal to connect to")
    with in_use(tree) as is_there:
        if not is_there:
            raise EnclavizeError(f"{tree} was removed meanwhile", hint="run the same command again")
        return _run(options, tree)


def _run(options: RunOptions, tree: Path) -> int:
    runc = find_runc()
    description = read_description(tree)
    policy = description.policy
    if options.enclu and description.libos != "builtin":
        raise UsageError(
            f"strict simulation is of the builtin LibOS alone, and this image has {description.libos}",
            hint="run it with --simulate",
        )
    if options.published:
        from enclavize.rune.publish import check_policy

        check_policy(options.published, policy)
    _tell_of_variables(options.environment, policy)
    options = replace(options, host_files=_host_files(options, description.libos))
    decides = _narrows(options, description.libos)
    _choose_mode(options)
    runtime = runtime_folder()
    with ExitStack() as stack:
        bundle = stack.enter_context(temporary_bundle(runtime, runc, options.name))
        traced_manifest = None
        if options.trace and description.libos == "gramine":
            traced_manifest = stack.enter_context(_traced_files(options, tree, bundle.path))
            options = replace(options, trace=False, report=None)
        container = Container(
            name=bundle.name,
            rootfs=tree,
            arguments=options.arguments,
            environment=options.environment,
            volumes=bind_mounts(options, policy),
            empty_volumes=empty_volumes(options, policy, tree),
            annotations=_annotations(options, tree),
            terminal=options.terminal,
            host_network=options.host_network,
            rootless=_rootless(),
            user=_user(tree, description.libos),
            system_files=description.libos == "gramine",
            capabilities=options.capabilities,
            devices=options.devices,
        )
        if description.libos not in RUNELETS:
            container = _by_its_start(container, description, bundle)
        destinations = [*container.empty_volumes, *(volume.destination for volume in container.volumes)]
        stack.enter_context(mountpoints(tree, destinations))
        spec = container_spec(container)
        bundle.write(spec)
        pid_file = bundle.path / "pid"
        start = partial(
            run_container,
            runc=runc,
            bundle=bundle.path,
            name=bundle.name,
            stdin=options.stdin,
            pid_file=pid_file,
        )
        rune = [str(native_file("rune")), "--root", str(runtime / STATE)]
        with _open_report(options.report) as report, _published(options.published, pid_file):
            if not decides:
                status = start([*rune, "--kept-plan"], report=report)
                if not take_undecided(bundle.path):
                    return status
            decided = _plan(options, spec, bundle.path, description.libos, traced_manifest)
            plan = bundle.path / "plan.json"
            with storage_errors("write", plan):
                plan.write_bytes(decided)
            return start([*rune, "--plan", str(plan)], report=report)


def _plan(
    options: RunOptions, spec: dict[str, Any], bundle: Path, libos: str, traced_manifest: Path | None
) -> bytes:
    """Admit the image and decide what becomes of its container. Raises EnclavizeError."""
    from enclavize.rune.create import make_plan
    from enclavize.rune.policy import load_policy
    from enclavize.rune.verdict_store import default_store

    return make_plan(
        spec,
        bundle,
        node_policy(options, load_policy(), libos=libos),
        default_store(),
        simulation_asked=options.simulate,
        program=None if _narrows(options, libos) else str(native_file("rune").resolve()),
        shared_tree=True,
        traced_manifest=traced_manifest,
    )


def _choose_mode(options: RunOptions) -> None:
    """Tell rune in its environment, as engines do; what stood there before was not meant for this command."""
    os.environ.pop(SIMULATE_VARIABLE, None)
    if options.simulate:
        os.environ[SIMULATE_VARIABLE] = "1"


def _narrows(options: RunOptions, libos: str) -> bool:
    """Whether more decides than the node's settings do, so that nobody else could use the plan."""
    return libos != "builtin" or bool(options.mrsigners or options.host_files or options.toolchain)


def _published(ports: tuple[PublishedPort, ...], pid_file: Path) -> AbstractContextManager[None]:
    if not ports:
        return nullcontext()
    from enclavize.rune.publish import published

    return published(ports, pid_file)


def _traced_files(options: RunOptions, tree: Path, folder: Path) -> AbstractContextManager[Path]:
    from enclavize.rune.gramine_trace import traced

    return traced(tree, folder, options.report, simulate=options.simulate)


def _user(tree: Path, libos: str) -> tuple[int, int]:
    """Return the ids that a program of Gramine has on the host, too: those of its files in volumes."""
    if libos != "gramine" or os.geteuid() != 0:
        return 0, 0
    from enclavize.rune.gramine_trace import user_of

    return user_of(tree)


def _by_its_start(container: Container, description: TeeDescription, bundle: Bundle) -> Container:
    """Return a container that is started by what its enclave says, and not by a runelet in the image."""
    from enclavize.rune.engine_part import network_files, start_of

    start = start_of(description, container.rootfs)
    return replace(
        container,
        command=start.entrypoint,
        arguments=container.arguments or start.command or (),
        environment=(*(start.environment or ()), *container.environment),
        working_directory=start.working_directory,
        volumes=(*container.volumes, *network_files(bundle.path, container.name)),
    )


def _annotations(options: RunOptions, tree: Path) -> tuple[tuple[str, str], ...]:
    """Return what tells the runelet of the host's wishes (rune/inclavare.py)."""
    words = [
        *([f"layers=/{LAYERS}"] if (tree / LAYERS).is_dir() else []),
        *([f"enclu={options.enclu}"] if options.enclu else []),
        *(["trace"] if options.trace else []),
        *([f"profile={options.profile}"] if options.profile else []),
        *([f"report-fd={REPORT_DESCRIPTOR}"] if options.report else []),
    ]
    wishes = (("enclave.runtime.loglevel", options.log_level), ("enclave.runtime.args", " ".join(words)))
    return tuple((name, value) for name, value in wishes if value)


@contextmanager
def _open_report(path: Path | None) -> Iterator[int | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise UsageError(f"--report {path}: {error.strerror}") from error
    with file:
        yield file.fileno()


def _host_files(options: RunOptions, libos: str) -> tuple[HostFiles, ...]:
    """Return what a toolchain has for outside of the enclave, and what was pinned. Raises EnclavizeError."""
    if options.toolchain is None:
        return options.host_files
    from enclavize.oci.cache import BlobCache
    from enclavize.pipeline.outside import known_files
    from enclavize.progress import Reporter
    from enclavize.tee.outside import LibosExpectations

    wanted = LibosExpectations(toolchain=options.toolchain, host_files=options.host_files)
    return known_files(libos, wanted, BlobCache(), insecure=options.insecure, reporter=Reporter())


def node_policy(options: RunOptions, node: NodePolicy, *, libos: str) -> NodePolicy:
    """Return what this machine admits, as far as the user trusts it, too. Raises UsageError.

    Without a list of digests, Gramine's files outside of the enclave are run as they are, with a warning,
    unless somebody is trusted: a program of anybody's would run in that name.
    """
    settings = node.settings
    if options.mrsigners:
        admitted = [item for item in options.mrsigners if item in (settings.mrsigners or options.mrsigners)]
        if not admitted:
            raise UsageError("--signer: the administrator of this machine admits none of these signers")
        settings = replace(settings, mrsigners=tuple(admitted))
    if libos == "gramine" and not (options.host_files or settings.host_files or settings.mrsigners):
        sys.stderr.write(
            "warning: outside of the enclave: NOT checked. What starts it is a program of the image; "
            "--toolchain or --host-files say what it has to be\n"
        )
        settings = replace(settings, allow_unchecked_host_files=True)
    if settings == node.settings and not options.host_files:
        return node
    return node.narrowed(settings, options.host_files)


def _tell_of_variables(environment: tuple[str, ...], policy: Policy) -> None:
    """Warn of variables that the enclave will drop. Not an error: docker's users set more than is read."""
    allowed = {variable.name for variable in policy.allowed_environment}
    given = dict.fromkeys(variable.partition("=")[0] for variable in environment)
    if dropped := [name for name in given if name not in allowed]:
        from enclavize.rootfs.names import printable

        sys.stderr.write(
            f"warning: --env {printable(', '.join(dropped))}: the image does not let this in; "
            "a build opens it with --allow-env NAME\n"
        )


def bind_mounts(options: RunOptions, policy: Policy) -> tuple[BindMount, ...]:
    """Compare the volumes with those that the image opens. Raises UsageError."""
    return tuple(_bind_mount(*volume, policy) for volume in options.volumes)


def empty_volumes(options: RunOptions, policy: Policy, tree: Path) -> tuple[str, ...]:
    """Volumes that nobody gives, and for which the image has no files: they last as long as the container.

    docker does the same for VOLUME. Without them the enclave would look for folders that are not there.
    """
    given = {posixpath.normpath(destination) for _, destination, _ in options.volumes}
    left = [volume.path for volume in policy.volumes if volume.path not in (*given, TERMINATION_LOG)]
    if not left:
        return ()
    from enclavize.rune.mounts import resolve_in_root

    return tuple(path for path in left if not _has_files(tree / resolve_in_root(tree, path).relative_to("/")))


def _has_files(path: Path) -> bool:
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


def _bind_mount(source: Path, destination: str, read_only: bool, policy: Policy) -> BindMount:
    path = posixpath.normpath(destination)
    if not path.startswith("/"):
        raise UsageError(f"--volume {destination}: the path in the container must be absolute")
    if not source.exists():
        raise UsageError(f"--volume {source}: there is no such file or folder")
    for volume in policy.volumes:
        if path == volume.path or path.startswith(f"{volume.path}/"):
            return BindMount(
                source=source.absolute(), destination=path, read_only=read_only or volume.read_only
            )
    opened = ", ".join(volume.path for volume in policy.volumes) or "none"
    raise UsageError(
        f"--volume {destination}: the image does not open this path to the host (it opens: {opened})",
        hint=f"build it with --volume {destination}",
    )


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _rootless() -> tuple[int, int] | None:
    if os.geteuid() == 0:
        return None
    for switch in _USER_NAMESPACE_SWITCHES:
        path = Path(switch)
        if path.exists() and path.read_text().strip() == "0":
            raise EnclavizeError(
                f"this kernel gives users no user namespaces ({switch} is 0)", hint="run as root"
            )
    return os.geteuid(), os.getegid()
