"""``enclavize node serve``: makes enclaves of ordinary images, for the runes of this machine.

A thread waits with each rune. One content is converted once, however many ask; who goes away meanwhile finds
it next time. What fails leaves nothing, and is tried again by the next one.
"""

from __future__ import annotations

import socket
import struct
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize import __version__
from enclavize.errors import EnclavizeError, InvalidImageError, UsageError
from enclavize.node.conversion import Job
from enclavize.node.engines.found import AskedContainer
from enclavize.node.engines.peer import engine_of
from enclavize.node.narrow import ANNOTATION, narrowed
from enclavize.node.protocol import (
    MAX_REQUEST,
    REQUEST_SECONDS,
    Convert,
    Forget,
    Status,
    encode,
    error_answer,
    parse_request,
)
from enclavize.node.rules import Subject, load_rules, rule_for
from enclavize.node.toolchains import Toolchains, check_rule
from enclavize.oci.cache import BlobCache
from enclavize.oci.document import parse_document
from enclavize.oci.location import RegistryLocation
from enclavize.oci.pruning import prune
from enclavize.oci.reference import ImageReference
from enclavize.oci.storage import storage_errors
from enclavize.rootfs.names import printable
from enclavize.rune.config_shape import CONFIG_SHAPE
from enclavize.rune.inclavare import CARRIER, CARRIERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from enclavize.node.engines.found import Engine
    from enclavize.node.engines.peer import EngineSettings
    from enclavize.node.sharing import Share
    from enclavize.node.trees import Tree, Trees
    from enclavize.oci.location import Location
    from enclavize.pipeline.configuration import Configuration
    from enclavize.pipeline.options import BuildOptions

MAX_CONNECTIONS = 512
_CONFIG_LIMIT = 16 << 20
_POD_NAMESPACE = "io.kubernetes.cri.sandbox-namespace"
"""Of Inclavare Containers' shim (docs/design/terminology.md)."""
_CREDENTIALS = struct.Struct("3i")
"""struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)."""
NOWHERE = RegistryLocation(ImageReference(registry="node", repository="image", tag="latest"))
"""Where an image comes from does not matter: nothing of an enclave depends on it."""


@dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """How the daemon works. ``rules`` is a file or folder; ``jobs`` are conversions at one time.

    ``options_of`` makes a build of a rule's configuration, with the node's signer. ``share``: see sharing.py.
    """

    socket: Path
    rules: Path
    jobs: int
    engines: EngineSettings
    options_of: Callable[[Configuration, Location], BuildOptions]
    share: Share | None = None


class Daemon:
    """Answers requests. ``engine_of`` finds who has started a rune."""

    def __init__(
        self,
        settings: NodeSettings,
        trees: Trees,
        engine_of: Callable[[int, EngineSettings], Engine] = engine_of,
    ) -> None:
        self._settings = settings
        self._trees = trees
        self._toolchains = Toolchains()
        self._engine_of = engine_of
        self._lock = threading.Lock()
        self._running: dict[str, Future[None]] = {}
        self._jobs = threading.BoundedSemaphore(settings.jobs)
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._counts = {"converted": 0, "failed": 0}

    def serve(self, listener: socket.socket) -> None:
        """Answer until the listener is shut down."""
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if not self._connections.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # who asked may be gone
            try:
                pid, uid, _ = _CREDENTIALS.unpack(
                    connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
                )
                answer = self._answer_to(connection, pid, uid)
            except EnclavizeError as error:
                answer = error_answer(error)
            finally:
                self._connections.release()
            connection.sendall(encode(answer))

    def _answer_to(self, connection: socket.socket, pid: int, uid: int) -> Mapping[str, Any]:
        if uid != 0:
            raise UsageError("the node's daemon is for root alone")
        match parse_request(_read_line(connection)):
            case Convert() as wanted:
                return self._convert(wanted, pid)
            case Status():
                return {"status": self._status()}
            case Forget(keys):
                return self._forget(keys)

    def _convert(self, wanted: Convert, pid: int) -> Mapping[str, Any]:
        try:
            job = self._job(wanted, pid)
            with self._toolchains.used_for(job.options):
                tree = self._tree_of(job, wanted.bundle)
        except EnclavizeError as error:
            with self._lock:
                self._counts["failed"] += 1
            _log(f"refused {wanted.id}: {error}")
            raise
        return {"tree": str(tree)}

    def _job(self, wanted: Convert, pid: int) -> Job:
        """Find out what is asked for: image, rule, and what the pod narrows."""
        config = _read_config(Path(f"/proc/{pid}/root{wanted.bundle}/config.json"))
        root = config.get("root")
        path = root.get("path") if isinstance(root, dict) else None
        if not isinstance(path, str) or not path or "\0" in path or ".." in path.split("/"):
            raise InvalidImageError("config.json: root.path is missing, or not of the usual form")
        container = AskedContainer(id=wanted.id, rootfs=Path(wanted.bundle) / path, pid=pid)
        _check_carrier(config)
        engine = self._engine_of(pid, self._settings.engines)
        found = engine.find(container)
        annotations = config.get("annotations")
        annotations = annotations if isinstance(annotations, dict) else {}
        namespace = str(annotations.get(_POD_NAMESPACE, "")) if engine.has_pods else ""
        subject = Subject(image=found.name, namespace=namespace, labels=found.labels)
        rule = rule_for(load_rules(self._settings.rules), subject)
        options = self._settings.options_of(rule.configuration, NOWHERE)
        if wish := annotations.get(ANNOTATION):
            policy = narrowed(
                options.policy, str(wish), lambda asked: self._settings.options_of(asked, NOWHERE).policy
            )
            options = replace(options, policy=policy)
        check_rule(options, rule.name)
        return Job(
            found=found,
            options=options,
            rule=rule.name,
            toolchain=self._toolchains.of(options),
            share=self._settings.share,
        )

    def _tree_of(self, job: Job, bundle: str) -> Path:
        """Return the tree of a job, which is made by the first who asks. Raises EnclavizeError."""
        key = job.key
        while True:
            with self._lock:
                tree = self._trees.find(key)
                if tree is not None:
                    self._trees.note_user(key, bundle)
                    return tree
                is_first = key not in self._running
                running = self._running.setdefault(key, Future())
            if is_first:
                self._run(key, job, running)
            running.result()

    def _run(self, key: str, job: Job, running: Future[None]) -> None:
        """Do a job that others may wait for."""
        try:
            self._make(key, job)
        except EnclavizeError as error:
            running.set_exception(error)
        finally:
            with self._lock:
                del self._running[key]
            if not running.done():
                running.set_result(None)

    def _make(self, key: str, job: Job) -> None:
        statement: dict[str, Any] = {}
        with self._jobs:
            start = time.monotonic()
            cache = BlobCache(self._trees.root / "cache" / "blobs")
            try:
                with self._trees.make(key, statement) as folder:
                    statement.update(job.run(folder, cache))
            except OSError as error:
                raise EnclavizeError(f"the conversion failed: {error.strerror or error}") from error
            seconds = time.monotonic() - start
        with self._lock:
            self._counts["converted"] += 1
            self._trees.trim()
        del cache  # it holds what it has touched
        prune(BlobCache(self._trees.root / "cache" / "blobs"), max_size=self._trees.max_size)
        _log(
            f"converted {job.found.name or job.found.config_digest} by {job.rule} in {seconds:.1f} s: "
            f"MRENCLAVE {statement['mrenclave']}, MRSIGNER {statement['mrsigner']}"
            + (f"; {statement['shared']}" if "shared" in statement else "")
        )

    def _status(self) -> dict[str, Any]:
        with self._lock:
            trees = self._trees.all()
            return {
                "enclavize": __version__,
                "rules": str(self._settings.rules),
                "cache": str(self._trees.root),
                "max_size": self._trees.max_size,
                "size": sum(tree.size for tree in trees),
                "running": len(self._running),
                **self._counts,
                "conversions": [_facts(tree) for tree in trees],
            }

    def _forget(self, keys: tuple[str, ...]) -> dict[str, Any]:
        with self._lock:
            wanted = [tree for tree in self._trees.all() if tree.key.startswith(keys)]
            forgotten = [tree.key for tree in wanted if self._trees.remove(tree)]
        return {
            "forgotten": forgotten,
            "in_use": [tree.key for tree in wanted if tree.key not in forgotten],
        }


def listen(path: Path) -> socket.socket:
    """Make the socket, which root alone can reach. Raises UsageError if somebody answers there."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with storage_errors("listen at", path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.is_socket():
                _require_dead(path)
            listener.bind(str(path))
            path.chmod(0o600)
            listener.listen(1024)
    except BaseException:
        listener.close()
        raise
    return listener


def _require_dead(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()  # of one that was killed
            return
    raise UsageError(f"another daemon answers at {path}", hint="give this one a socket: --socket")


def _read_line(connection: socket.socket) -> bytes:
    """Raises UsageError for a request that is too long, or comes too slowly."""
    data, end = b"", time.monotonic() + REQUEST_SECONDS
    try:
        while not data.endswith(b"\n"):
            connection.settimeout(max(end - time.monotonic(), 0.001))
            piece = connection.recv(MAX_REQUEST)
            data += piece
            if not piece or len(data) > MAX_REQUEST:
                raise UsageError(f"a request is one line of at most {MAX_REQUEST} bytes")
    except TimeoutError as error:
        raise UsageError(f"the request did not arrive within {REQUEST_SECONDS:.0f} seconds") from error
    connection.settimeout(None)
    return data


def _read_config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_CONFIG_LIMIT + 1)
    except OSError as error:
        raise InvalidImageError(f"cannot read config.json of the bundle: {error.strerror}") from error
    if len(text) > _CONFIG_LIMIT:
        raise InvalidImageError(f"config.json of the bundle is larger than {_CONFIG_LIMIT} bytes")
    return dict(parse_document(text, "config.json", CONFIG_SHAPE).members)


def _check_carrier(config: Mapping[str, Any]) -> None:
    """Refuse a pod for Inclavare Containers that names nothing that they had. Raises EnclavizeError.

    The LibOS is the rule's: who names another one wants an enclave all the same.
    """
    process = config.get("process")
    variables = process.get("env") if isinstance(process, dict) else None
    for item in variables if isinstance(variables, list) else ():
        name, _, value = str(item).partition("=")
        if name == CARRIER and value and value not in CARRIERS:
            raise EnclavizeError(f"{CARRIER} {value[:40]!r}: known are {', '.join(CARRIERS)}")


def _facts(tree: Tree) -> dict[str, Any]:
    return {
        "key": tree.key,
        "size": tree.size,
        "last_used": int(tree.last_used),
        "in_use": bool(tree.users),
        **tree.statement(),
    }


def _log(message: str) -> None:
    sys.stderr.write(f"{printable(message)}\n")
    sys.stderr.flush()
