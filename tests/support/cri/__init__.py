"""A client of Kubernetes' Container Runtime Interface: what a kubelet asks of containerd, in its words."""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.cri.streaming import Attached

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROTOCOL = "cri.proto"
TIMEOUT = 100
CGROUP_PARENT = "/enclavize-cri-test"


@cache
def _modules() -> tuple[Any, Any, Any]:
    """Return grpc, the messages and the services."""
    pytest.importorskip("grpc_tools", reason="grpcio-tools is not installed")
    protoc, grpc = importlib.import_module("grpc_tools.protoc"), importlib.import_module("grpc")
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory(prefix="cri-") as folder:
        arguments = ["protoc", f"-I{here}", f"--python_out={folder}", f"--grpc_python_out={folder}", PROTOCOL]
        if protoc.main(arguments) != 0:
            raise AssertionError("protoc failed")
        sys.path.insert(0, folder)
        try:
            return grpc, importlib.import_module("cri_pb2"), importlib.import_module("cri_pb2_grpc")
        finally:
            sys.path.remove(folder)


def control_groups() -> list[Path]:
    """Return the control groups of pods that are there, in every hierarchy, deepest first."""
    found = set(Path("/sys/fs/cgroup").glob(f"*{CGROUP_PARENT}/**/"))
    found |= set(Path("/sys/fs/cgroup").glob(f"{CGROUP_PARENT[1:]}/**/"))
    return sorted(found, reverse=True)


def remove_control_groups() -> None:
    """Remove what an engine has made above those that it removes."""
    for path in control_groups():
        with suppress(OSError):
            path.rmdir()


class CriError(Exception):
    """What the engine answered."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a container ended, and what it wrote."""

    code: int
    reason: str
    log: str


@dataclass(frozen=True)
class Pod:
    """A sandbox; ``config`` goes along with each container."""

    id: str
    config: Any
    logs: Path


@dataclass
class Cri:
    """Calls of a kubelet, on the socket of an engine."""

    socket: str
    _stub: Any = field(init=False)

    def __post_init__(self) -> None:
        grpc, _, services = _modules()
        options = [("grpc.default_authority", "localhost")]
        self._stub = services.RuntimeServiceStub(grpc.insecure_channel(f"unix://{self.socket}", options))

    def call(self, name: str, request: Any) -> Any:
        """Call a method. Raises CriError with the engine's words."""
        grpc, _, _ = _modules()
        try:
            return getattr(self._stub, name)(request, timeout=TIMEOUT)
        except grpc.RpcError as error:
            raise CriError(f"{error.code().name}: {error.details()}") from None

    def version(self) -> Any:
        """Ask who answers."""
        return self.call("Version", _modules()[1].VersionRequest())

    def pod(self, handler: str, logs: Path, annotations: Mapping[str, str] | None = None) -> Pod:
        """Run a sandbox in the host's network."""
        messages = _modules()[1]
        logs.mkdir(parents=True, exist_ok=True)
        namespaces = messages.NamespaceOption(network=messages.NODE, pid=messages.CONTAINER)
        name = f"pod-{uuid.uuid4().hex[:12]}"
        config = messages.PodSandboxConfig(
            metadata=messages.PodSandboxMetadata(name=name, uid=name, namespace="default", attempt=0),
            log_directory=str(logs),
            annotations=annotations or {},
            linux=messages.LinuxPodSandboxConfig(
                cgroup_parent=CGROUP_PARENT,
                security_context=messages.LinuxSandboxSecurityContext(namespace_options=namespaces),
            ),
        )
        request = messages.RunPodSandboxRequest(config=config, runtime_handler=handler)
        return Pod(self.call("RunPodSandbox", request).pod_sandbox_id, config, logs)

    def create(
        self,
        pod: Pod,
        image: str,
        *,
        args: Sequence[str] = (),
        command: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        mounts: Sequence[tuple[str, Path]] = (),
        user: int | None = None,
        memory: int = 0,
        working_dir: str = "",
        hardened: bool = False,
        name: str = "",
    ) -> str:
        """Create a container; return its id. Its log is ``<name>.log``."""
        messages = _modules()[1]
        name = name or uuid.uuid4().hex[:12]
        security = messages.LinuxContainerSecurityContext(
            namespace_options=pod.config.linux.security_context.namespace_options,
            readonly_rootfs=hardened, no_new_privs=hardened,
        )  # fmt: skip
        if hardened:
            security.capabilities.drop_capabilities.append("ALL")
        if user is not None:
            security.run_as_user.value = user
        config = messages.ContainerConfig(
            metadata=messages.ContainerMetadata(name=name, attempt=0),
            image=messages.ImageSpec(image=image), command=command, args=args, working_dir=working_dir,
            envs=[messages.KeyValue(key=key, value=value) for key, value in (env or {}).items()],
            mounts=[messages.Mount(container_path=at, host_path=str(path)) for at, path in mounts],
            log_path=f"{name}.log",
            linux=messages.LinuxContainerConfig(
                resources=messages.LinuxContainerResources(memory_limit_in_bytes=memory),
                security_context=security,
            ),
        )  # fmt: skip
        request = messages.CreateContainerRequest(
            pod_sandbox_id=pod.id, config=config, sandbox_config=pod.config
        )
        return str(self.call("CreateContainer", request).container_id)

    def on(self, name: str, container: str) -> Any:
        """Call a method that only wants the container."""
        return self.call(name, _modules()[1].ContainerRequest(container_id=container))

    def state(self, container: str) -> str:
        """Return the state's name without its prefix."""
        status = self.on("ContainerStatus", container).status
        return str(_modules()[1].ContainerState.Name(status.state)).removeprefix("CONTAINER_")

    def wait(self, container: str, log: Path) -> Ended:
        """Wait for the end."""
        for _ in range(TIMEOUT * 20):
            status = self.on("ContainerStatus", container).status
            if status.state == _modules()[1].CONTAINER_EXITED:
                text = log.read_text() if log.exists() else ""
                # Each line: time, stream, tag, text (KEP 1287 of the kubelet's logs).
                lines = [line.split(" ", 3)[3] for line in text.splitlines()]
                return Ended(code=status.exit_code, reason=status.reason, log="\n".join(lines))
            time.sleep(0.05)
        raise AssertionError("a container does not end")

    def run(self, pod: Pod, image: str, **options: Any) -> Ended:
        """Create, start, wait, remove."""
        name = uuid.uuid4().hex[:12]
        container = self.create(pod, image, name=name, **options)
        try:
            self.on("StartContainer", container)
            return self.wait(container, pod.logs / f"{name}.log")
        finally:
            self.on("RemoveContainer", container)

    def exec_sync(self, container: str, *command: str, timeout: int = 30) -> Any:
        """Run a command, as probes do: stdout, stderr, exit_code. Raises CriError after so many seconds."""
        request = _modules()[1].ExecSyncRequest(container_id=container, cmd=command, timeout=timeout)
        return self.call("ExecSync", request)

    def exec(self, container: str, *command: str, tty: bool = False) -> Attached:
        """Start a command as ``kubectl exec -i`` does, with ``-t`` if there is to be a terminal."""
        request = _modules()[1].ExecRequest(
            container_id=container, cmd=command, tty=tty, stdin=True, stdout=True, stderr=not tty
        )
        return Attached.to(self.call("Exec", request).url)

    def stop(self, container: str, timeout: int) -> None:
        """Stop, with so many seconds of grace."""
        request = _modules()[1].StopContainerRequest(container_id=container, timeout=timeout)
        self.call("StopContainer", request)

    def limit_cpu(self, container: str, quota: int) -> None:
        """Give it so many microseconds of 100 milliseconds."""
        messages = _modules()[1]
        resources = messages.LinuxContainerResources(cpu_period=100_000, cpu_quota=quota)
        self.call(
            "UpdateContainerResources",
            messages.UpdateContainerResourcesRequest(container_id=container, linux=resources),
        )

    def remove(self, pod: str) -> None:
        """Stop and remove a sandbox with all that is in it."""
        request = _modules()[1].PodSandboxRequest(pod_sandbox_id=pod)
        self.call("StopPodSandbox", request)
        self.call("RemovePodSandbox", request)

    def pods(self) -> list[str]:
        """Return the ids of all sandboxes."""
        return [item.id for item in self.call("ListPodSandbox", _modules()[1].Empty()).items]

    def containers(self) -> list[str]:
        """Return the ids of all containers."""
        return [item.id for item in self.call("ListContainers", _modules()[1].Empty()).containers]
