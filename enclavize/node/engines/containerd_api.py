"""The part of containerd's API that tells which image a container has (containerd, api/services).

Messages are declared here, field by field as far as they are used: protobuf skips the others.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from enclavize.errors import EnclavizeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PACKAGE = "enclavize.containerd"
_NAMESPACE_HEADER = "containerd-namespace"
_TIMEOUT = 30.0
"""Seconds for a call; for a whole blob there is no bound."""

_TEXT, _BYTES, _NUMBER = "TYPE_STRING", "TYPE_BYTES", "TYPE_INT64"

_MESSAGES: dict[str, tuple[tuple[str, int, str, bool], ...]] = {
    "Any": (("type_url", 1, _TEXT, False), ("value", 2, _BYTES, False)),
    "Timestamp": (("seconds", 1, _NUMBER, False), ("nanos", 2, "TYPE_INT32", False)),
    "Extension": (("key", 1, _TEXT, False), ("value", 2, "Any", False)),
    "Descriptor": (("media_type", 1, _TEXT, False), ("digest", 2, _TEXT, False), ("size", 3, _NUMBER, False)),
    "Mount": (("type", 1, _TEXT, False), ("source", 2, _TEXT, False), ("options", 4, _TEXT, True)),
    "ById": (("id", 1, _TEXT, False),),
    "Container": (
        ("id", 1, _TEXT, False), ("image", 3, _TEXT, False), ("snapshotter", 6, _TEXT, False),
        ("snapshot_key", 7, _TEXT, False), ("created_at", 8, "Timestamp", False),
        ("extensions", 10, "Extension", True),
    ),
    "ContainerAnswer": (("container", 1, "Container", False),),
    "Image": (
        ("name", 1, _TEXT, False), ("target", 3, "Descriptor", False), ("updated_at", 8, "Timestamp", False),
    ),
    "ImageAnswer": (("image", 1, "Image", False),),
    "Snapshot": (("snapshotter", 1, _TEXT, False), ("key", 2, _TEXT, False)),
    "SnapshotInfo": (("name", 1, _TEXT, False), ("parent", 2, _TEXT, False)),
    "SnapshotAnswer": (("info", 1, "SnapshotInfo", False),),
    "MountsAnswer": (("mounts", 1, "Mount", True),),
    "Read": (("digest", 1, _TEXT, False), ("offset", 2, _NUMBER, False), ("size", 3, _NUMBER, False)),
    "ReadAnswer": (("offset", 1, _NUMBER, False), ("data", 2, _BYTES, False)),
}  # fmt: skip
"""Fields by message: name, number, type, repeated."""

_SERVICES = "/containerd.services"
CONTAINER = (f"{_SERVICES}.containers.v1.Containers/Get", "ById", "ContainerAnswer")
IMAGE = (f"{_SERVICES}.images.v1.Images/Get", "ById", "ImageAnswer")
"""An image is asked for by its name, which has the number that the id of a container has."""
SNAPSHOT = (f"{_SERVICES}.snapshots.v1.Snapshots/Stat", "Snapshot", "SnapshotAnswer")
MOUNTS = (f"{_SERVICES}.snapshots.v1.Snapshots/Mounts", "Snapshot", "MountsAnswer")
READ = (f"{_SERVICES}.content.v1.Content/Read", "Read", "ReadAnswer")

Method = tuple[str, str, str]


class NotThereError(EnclavizeError):
    """containerd has no such thing."""


class Connection:
    """A connection for one namespace. Raises EnclavizeError where grpc is not installed."""

    def __init__(self, address: str, namespace: str) -> None:
        try:
            import grpc
        except ImportError as error:
            raise EnclavizeError(
                "images of containerd cannot be read: grpcio is not installed",
                hint='pip install "enclavize[node]"',
            ) from error
        self._address = address
        self._metadata = ((_NAMESPACE_HEADER, namespace),)
        options = [("grpc.default_authority", "localhost"), ("grpc.max_receive_message_length", 32 << 20)]
        self._channel = grpc.insecure_channel(f"unix://{address}", options)

    def call(self, method: Method, **fields: Any) -> Any:
        """Call a method. Raises NotThereError, EnclavizeError."""
        with self._errors(method[0]):
            return self._bound(method, self._channel.unary_unary)(
                _message(method[1])(**fields), metadata=self._metadata, timeout=_TIMEOUT
            )

    def read(self, digest: str) -> Iterator[bytes]:
        """Yield the bytes of a blob. Raises NotThereError, EnclavizeError."""
        with self._errors(f"blob {digest}"):
            answers = self._bound(READ, self._channel.unary_stream)(
                _message(READ[1])(digest=digest), metadata=self._metadata
            )
            for answer in answers:
                yield answer.data

    def close(self) -> None:
        """Close it."""
        self._channel.close()

    def _bound(self, method: Method, kind: Callable[..., Any]) -> Callable[..., Any]:
        path, request, answer = method
        found: Callable[..., Any] = kind(
            path,
            request_serializer=_message(request).SerializeToString,
            response_deserializer=_message(answer).FromString,
        )
        return found

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        import grpc

        try:
            yield
        except grpc.RpcError as error:
            text = f"containerd at {self._address}, {what.rpartition('/')[0] or what}: {error.details()}"
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise NotThereError(text) from error
            raise EnclavizeError(text) from error


@cache
def _pool() -> Any:
    """Return the declared messages."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, repeated in fields:
            message.field.add(
                name=field_name,
                number=number,
                label=field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL,
                type=getattr(field, kind) if kind.startswith("TYPE_") else field.TYPE_MESSAGE,
                type_name=None if kind.startswith("TYPE_") else f".{_PACKAGE}.{kind}",
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


@cache
def _message(name: str) -> Any:
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))
