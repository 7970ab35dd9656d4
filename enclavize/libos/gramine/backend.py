"""Gramine: from an image to its instance."""

from __future__ import annotations

import hashlib
import io
import posixpath
import signal
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from enclavize.compat.library_path import default_folders
from enclavize.errors import IncompatibleImageError, UsageError
from enclavize.libos.builtin.process import environment as image_environment
from enclavize.libos.builtin.process import stop_signal_of
from enclavize.libos.builtin.users import account_of
from enclavize.libos.gramine import layout
from enclavize.libos.gramine.asked import TMPFS
from enclavize.libos.gramine.attestation import (
    PRELOAD,
    attestation_of,
    missing_preloads,
    with_preloads,
    with_remote_attestation,
)
from enclavize.libos.gramine.defaults import Defaults
from enclavize.libos.gramine.enclave import GramineEnclave
from enclavize.libos.gramine.exchanged_libc import ExchangedLibc, compiled_paths, exchanged_libc
from enclavize.libos.gramine.files import (
    GLIBC_FILES,
    RUNELET_FILE,
    glibc_version,
    read,
    runtime_files,
    shared_files,
)
from enclavize.libos.gramine.format import LINKS
from enclavize.libos.gramine.manifest import (
    HELPER_THREADS,
    LibosFile,
    ManifestValues,
    enclave_size,
    make_manifest,
)
from enclavize.libos.gramine.mounts import (
    allowed_files,
    link_mounts,
    may_mount_links,
    memory_mounts,
    network_files,
    network_mounts,
    user_mounts,
)
from enclavize.libos.gramine.program import Libc, find_entry_point, library_path
from enclavize.libos.gramine.releases import require_known, require_served
from enclavize.libos.gramine.schema import check
from enclavize.libos.gramine.selection import LONG_LIST, manifest_part, selection_of, start_time
from enclavize.libos.gramine.stated_files import stated_files
from enclavize.libos.gramine.table import joined_variables, stated_variables, without_joined
from enclavize.libos.gramine.time_zone import ZONE, time_zone
from enclavize.libos.gramine.trusted_files import hidden_paths, trusted_files
from enclavize.libos.network import with_host_network
from enclavize.libos.toolchain_profile import profile_of
from enclavize.oci.stop_signal import DEFAULT_STOP_SIGNAL
from enclavize.resources import native_file
from enclavize.rootfs.names import printable
from enclavize.tee.instance import NO_HEALTH_CHECK, Instance, InstanceFile, Start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from enclavize.compat.profile import Profile
    from enclavize.libos.base import InstanceOptions
    from enclavize.libos.gramine.attestation import Attestation
    from enclavize.libos.gramine.manifest import Mount
    from enclavize.libos.gramine.program import EntryPoint
    from enclavize.libos.gramine.stated_files import StatedFiles
    from enclavize.libos.gramine.trusted_files import TrustedFiles
    from enclavize.libos.toolchain.model import Toolchain
    from enclavize.oci.image import Image
    from enclavize.oci.image_config import ImageConfig
    from enclavize.progress import Reporter, Task
    from enclavize.rootfs.tree import Rootfs
    from enclavize.tee.policy import Policy

LIBRARY_PATH = "LD_LIBRARY_PATH"
_SHOWN = 3


class GramineBackend:
    """Makes instances for the Gramine of a toolchain."""

    name = "gramine"
    keeps_layers = True

    def __init__(self, toolchain: Toolchain) -> None:
        """Take the toolchain. Raises UsageError for a version whose enclaves are not known."""
        require_known(toolchain)
        self._toolchain = toolchain
        self.version = toolchain.version

    @cached_property
    def profile(self) -> Profile:
        """What the LibOS can run, with the files of the toolchain."""
        return profile_of(self._toolchain)

    def fingerprint(self) -> str:
        """Return a digest of the toolchain and of the runelet."""
        runelet = hashlib.sha256(native_file(RUNELET_FILE).read_bytes()).hexdigest()
        return hashlib.sha256(f"{self._toolchain.digest} {runelet}".encode()).hexdigest()

    def shared_files(self) -> tuple[InstanceFile, ...]:
        """Return the runelet and the files of the toolchain. Raises UsageError for what is missing."""
        return shared_files(self._toolchain)

    def instance(
        self, rootfs: Rootfs, image: Image, options: InstanceOptions, workdir: Path, reporter: Reporter
    ) -> Instance:
        """Make the instance. Raises EnclavizeError for what the image or the options cannot have."""
        del workdir
        policy = expressible_policy(
            with_host_network(options.policy, "Gramine"), debuggable=options.debuggable
        )
        check(manifest_part(options.table))
        require_served(options.table, self.version)
        stated = stated_files(rootfs, options.table, policy.volumes)
        with reporter.task(f"write the manifest of {len(rootfs)} files") as task:
            for warning in _warnings(image.config):
                task.warn(warning)
            own = replace(options, policy=policy)
            parts = _Parts(rootfs, image.config, own, self._toolchain, task=task, stated=stated)
            values = parts.values()
            table = without_joined(manifest_part(options.table))
            manifest = make_manifest(values, with_remote_attestation(table, parts.attestation))
            task.log(f"the manifest has {len(manifest.files)} trusted files and {len(manifest.text)} bytes")
            if len(manifest.files) > LONG_LIST:
                task.warn(
                    f"{len(manifest.files)} trusted files: each process takes about "
                    f"{start_time(len(manifest.files)):.1f} s to start; "
                    "--leave-out PATTERN and --only-opened FILE make the list shorter"
                )
            shared = self.shared_files()
            task.log(f"Gramine's files have {sum(file.size for file in shared) / (1 << 20):.1f} MiB")
        files = {layout.MANIFEST: manifest.text, **parts.files()}
        return Instance(
            libos=self.name,
            libos_version=self.version,
            shared_files=shared,
            files=tuple(_file(path, content) for path, content in sorted(files.items())),
            enclave=GramineEnclave(libpal=read(self._toolchain, layout.SGX_LIBPAL), manifest=manifest),
            policy=replace(policy, volumes=(*policy.volumes, *stated.volumes)),
            argv=values.arguments or (values.entrypoint,),
            links=LINKS,
            start=Start(
                health=NO_HEALTH_CHECK, stop_signal=DEFAULT_STOP_SIGNAL if image.config.stop_signal else None
            ),
            doubts=tuple(_doubts(options.policy)),
            left_out=parts.selection.patterns,
        )


def expressible_policy(policy: Policy, *, debuggable: bool) -> Policy:
    """Return the policy as a manifest can hold it. Raises UsageError for what Gramine does not have.

    The program may write to volumes and run what is there, always; no command can be run beside it.
    """
    if not debuggable and (policy.allow_any_exec or policy.allowed_exec):
        raise UsageError(
            "--allow-exec: Gramine cannot run a second command in an enclave", hint="leave it out"
        )
    for variable in policy.allowed_environment:
        if variable.name.startswith("LD_"):
            raise UsageError(
                f"--allow-env {variable.name}: with Gramine this variable decides which C library runs",
                hint="set it in the image",
            )
    return replace(
        policy,
        allow_any_exec=False,
        allowed_exec=(),
        volumes=tuple(replace(item, read_only=False, executable=True) for item in policy.volumes),
    )


class _Parts:
    """The parts of one image's manifest, and the small files beside it."""

    def __init__(
        self,
        rootfs: Rootfs,
        config: ImageConfig,
        options: InstanceOptions,
        toolchain: Toolchain,
        *,
        task: Task,
        stated: StatedFiles,
    ) -> None:
        self._stated = stated
        self._rootfs, self._config, self._options = rootfs, config, options
        self._toolchain, self._task = toolchain, task
        self.selection = selection_of(rootfs, options.table, stated.kept)
        self._network = {} if options.policy.allow_host_network_files else network_files(rootfs)
        self._libc = ExchangedLibc()
        self._account = account_of(rootfs, config)
        variables = image_environment(config, self._account.home)
        joined = joined_variables(dict(variable.partition("=")[::2] for variable in variables), options.table)
        self._environment = {**self._time_zone(), **joined}
        said = {**stated_variables(options.table), **self._environment}
        self._attestation = attestation_of(options.table, said)

    def values(self) -> ManifestValues:
        """Return what the template is filled with. Raises EnclavizeError."""
        options, policy = self._options, self._options.policy
        working_directory = posixpath.normpath(posixpath.join("/", self._config.working_dir)).replace(
            "//", "/"
        )
        arguments = self._arguments()
        entry_point = find_entry_point(self._rootfs, arguments[0], working_directory, self._environment)
        own_libc = self._takes_own_libc(entry_point)
        attestation = self._attestation
        runtime = {}
        if not own_libc:
            runtime = runtime_files(self._toolchain, entry_point.libc, attestation.libraries)
        self._libc = self._exchanged_libc(entry_point.libc, runtime)
        mounts = (*self._mounts(working_directory), *self._libc.mounts)
        found = self._trusted_files(entry_point.path, may_mount=may_mount_links(mounts, options.table))
        host = tuple(variable.name for variable in policy.allowed_environment)
        variables = with_preloads(self._environment, attestation, entry_point.libc, own_libc=own_libc)
        self._check_preloads(variables, entry_point.libc, runtime)
        environment = {name: value for name, value in variables.items() if name not in host}
        if libraries := library_path(entry_point, environment.get(LIBRARY_PATH, ""), own_libc=own_libc):
            environment[LIBRARY_PATH] = libraries
        return ManifestValues(
            entrypoint=entry_point.path,
            arguments=None if policy.allow_arguments else arguments,
            uid=self._account.user.uid,
            gid=self._account.user.gid,
            libos=LibosFile(
                uri=layout.uri(layout.absolute(layout.LIBOS)),
                sha256=self._toolchain.require("libsysdb.so").sha256,
            ),
            environment=environment,
            host_environment=host,
            working_directory=working_directory,
            mounts=(*link_mounts(found.links), *mounts),
            debug=options.debuggable,
            use_exinfo=entry_point.catches_faults,
            enclave_size=enclave_size(options.resources.memory),
            max_threads=options.resources.threads + HELPER_THREADS,
            isv_prod_id=options.isv_prod_id,
            isv_svn=options.isv_svn,
            allowed_files=allowed_files(
                self._rootfs, policy.volumes, network=policy.allow_host_network_files
            ),
            trusted_files=self._with_own_files(found, runtime),
            pinned_files=self._stated.pinned,
        )

    def files(self) -> dict[str, bytes]:
        """Return the files beside the manifest, by path below /.enclave."""
        files = self._measured_files()
        defaults = Defaults.of(self._config, self._options.policy, self._environment)
        if defaults is not None:
            files[layout.DEFAULTS] = defaults.to_bytes()
        return files

    @property
    def attestation(self) -> Attestation:
        """What of Gramine's attestation is asked for."""
        return self._attestation

    def _check_preloads(self, environment: Mapping[str, str], libc: Libc, runtime: Mapping[str, str]) -> None:
        """Refuse preloads of the user's that are nowhere: loaders pass over them. Warn of the image's."""
        missing = missing_preloads(self._rootfs, environment, default_folders(self._rootfs, libc), runtime)
        said = stated_variables(self._options.table).get(PRELOAD, "")
        for name in missing:
            if name in said:
                raise UsageError(
                    f"LD_PRELOAD names {printable(name)}, which is neither in the image nor in the toolchain",
                    hint="add it to the image: the program would run without it",
                )
            self._task.warn(f"LD_PRELOAD names {printable(name)}, which the image does not have")

    def _arguments(self) -> tuple[str, ...]:
        arguments = (*self._config.entrypoint, *self._config.cmd)
        if not arguments:
            raise IncompatibleImageError(
                "the image names no program to run: it has neither an entrypoint nor a command",
                hint="set ENTRYPOINT in the image; of dir:PATH: --entrypoint",
            )
        if self._options.policy.allow_arguments and not self._config.entrypoint:
            raise UsageError(
                "--allow-args: the image has a CMD alone, of which the program is the first word; "
                "with Gramine the host can choose the arguments, but not the program",
                hint="set ENTRYPOINT in the image; of dir:PATH: --entrypoint",
            )
        return arguments

    def _takes_own_libc(self, entry_point: EntryPoint) -> bool:
        """Whether the image's C library is used: where Gramine's is older, or not there."""
        libc = entry_point.libc
        if libc is Libc.NONE or not self._toolchain.below(f"runtime/{libc}"):
            if libc is not Libc.NONE:
                self._task.warn(f"the toolchain has no {libc}: the image's own is used, which is slower")
            return True
        if libc is Libc.GLIBC and (0, 0) < (ours := glibc_version(self._toolchain)) < entry_point.glibc:
            self._task.warn(
                f"the image needs glibc {_dotted(entry_point.glibc)}, Gramine has {_dotted(ours)}: "
                "the image's own is used, which is slower"
            )
            return True
        return False

    def _mounts(self, working_directory: str) -> tuple[Mount, ...]:
        volumes, table = self._options.policy.volumes, self._options.table
        memory = memory_mounts(
            self._rootfs,
            working_directory,
            volumes,
            table,
            of_image=self._config.volumes,
            asked=table.get(TMPFS, ()),
        )
        return (*memory, *network_mounts(self._network))

    def _trusted_files(self, program: str, *, may_mount: bool) -> TrustedFiles:
        if self._is_left_out(program):
            raise UsageError(
                f"the program {program} is left out of the trusted files", hint=f"add --keep {program}"
            )
        found = trusted_files(self._rootfs, self._hidden_paths(), self.selection, may_mount=may_mount)
        if found.not_selected:
            self._task.log(
                f"{found.not_selected} files are left out, which the program cannot open then: "
                f"{' '.join(self.selection.patterns)}"
            )
        for path, reason in list(found.left_out.items())[:_SHOWN]:
            self._task.warn(f"the program cannot open {printable(path)}: {reason}")
        if len(found.left_out) > _SHOWN:
            self._task.warn(f"nor {len(found.left_out) - _SHOWN} other files, for such reasons")
        return found

    def _exchanged_libc(self, libc: Libc, runtime: dict[str, str]) -> ExchangedLibc:
        if not runtime:
            return ExchangedLibc()
        folder = f"{layout.RUNTIME}/{libc}"
        paths = None
        if libc is Libc.GLIBC:
            loader, library = (read(self._toolchain, f"{folder}/{name}") for name in GLIBC_FILES)
            paths = compiled_paths(loader, library)
        return exchanged_libc(
            self._rootfs,
            libc,
            {posixpath.basename(path): path for path in runtime},
            paths,
            (mount["path"] for mount in user_mounts(self._options.table)),
        )

    def _time_zone(self) -> dict[str, str]:
        """Return the variable by which programs learn the zone's name, unless the user has one."""
        table = self._options.table
        mounted = (posixpath.normpath(mount["path"]) for mount in user_mounts(table))
        others = (*self._hidden_paths(), *mounted, *table.get(TMPFS, ()))
        zone = time_zone(self._rootfs, self.selection, others)
        return {ZONE: zone} if zone and ZONE not in table.get("loader", {}).get("env", {}) else {}

    def _hidden_paths(self) -> tuple[str, ...]:
        return hidden_paths((*self._options.policy.volumes, *self._stated.volumes))

    def _measured_files(self) -> dict[str, bytes]:
        """Return the files beside the manifest that are in its list."""
        files = {f"{layout.NETWORK_FILES}/{name}": content for name, content in self._network.items()}
        return {**files, layout.LIBRARY_CACHE: self._libc.cache} if self._libc.cache else files

    def _is_left_out(self, program: str) -> bool:
        entry = self._rootfs.find(program)
        return entry is not None and self.selection.leaves_out(program, f"/{entry.path}")

    def _with_own_files(self, found: TrustedFiles, runtime: dict[str, str]) -> dict[str, str]:
        own = {
            layout.absolute(path): hashlib.sha256(content).hexdigest()
            for path, content in self._measured_files().items()
        }
        return dict(sorted({**found.hashes, **runtime, **own}.items()))


def _warnings(config: ImageConfig) -> Iterator[str]:
    """Yield what Gramine does not have."""
    number = stop_signal_of(config)
    if number != signal.SIGTERM:
        yield f"the image is stopped by signal {number}; Gramine lets SIGTERM in alone, which is sent instead"
    if config.healthcheck:
        yield "health checks are left out: Gramine runs no second command"


def _doubts(policy: Policy) -> Iterator[str]:
    """Yield what of the policy Gramine cannot keep."""
    for volume in policy.volumes:
        if volume.read_only:
            yield f"--volume {volume.path}:ro: Gramine does not keep the program from writing there"
        if not volume.executable:
            yield f"--volume {volume.path}: Gramine does not keep the program from running what is there"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _file(path: str, content: bytes) -> InstanceFile:
    return InstanceFile(path=path, mode=0o444, size=len(content), open=lambda: io.BytesIO(content))
