"""A TEE image in a layout that somebody with the registry's keys rewrites: all digests stay consistent."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from enclavize.oci.digest import sha256_digest
from support.images import build_layer, plain_tar_members, tar_of, to_json
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.images import Member

DESCRIPTION = ".enclave/enclave.json"


class TamperedImage:
    """A copy of the only image of a layout. Change ``config``, ``manifest``, ``layers``, then :meth:`save`.

    ``layers`` are lists of members, base first.
    """

    def __init__(self, layout: Path, copy: Path) -> None:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(layout, copy)
        self.root = copy
        self._index = json.loads((copy / "index.json").read_text())
        self.manifest = json.loads(self._blob(self._index["manifests"][0]["digest"]))
        self.config = json.loads(self._blob(self.manifest["config"]["digest"]))
        self.layers = [
            plain_tar_members(self._blob(layer["digest"]), layer["mediaType"])
            for layer in self.manifest["layers"]
        ]
        self._original = [list(layer) for layer in self.layers]

    def change(self, path: str, change: Callable[[Member], Member | None]) -> None:
        """Replace a member wherever it is; None removes it."""
        found = False
        for number, layer in enumerate(self.layers):
            changed = []
            for member in layer:
                is_it = member.path == path
                found |= is_it
                new = change(member) if is_it else member
                changed += [new] if new else []
            self.layers[number] = changed
        assert found, path

    def change_data(self, path: str, change: Callable[[bytes], bytes]) -> None:
        """Replace the content of a file."""
        self.change(path, lambda member: replace(member, data=change(member.data)))

    def describe(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change enclave.json."""

        def rewrite(data: bytes) -> bytes:
            document = json.loads(data)
            change(document)
            return json.dumps(document, indent=2).encode() + b"\n"

        self.change_data(DESCRIPTION, rewrite)

    def redescribe(self) -> None:
        """Let enclave.json say of each file what it is now."""
        contents = {
            member.path.removeprefix(".enclave/"): member.data for layer in self.layers for member in layer
        }

        def rewrite(document: dict[str, Any]) -> None:
            for name, file in document["files"].items():
                data = contents.get(name, b"")
                file |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}

        self.describe(rewrite)

    def save(self) -> str:
        """Write what was changed; return the image's name."""
        for number, (layer, before) in enumerate(zip(self.layers, self._original, strict=False)):
            if layer != before:
                self._put_layer(number, written(layer))
        self.manifest["config"] |= self._put(to_json(self.config))
        self._index["manifests"][0] |= self._put(to_json(self.manifest))
        (self.root / "index.json").write_bytes(to_json(self._index))
        return f"oci:{self.root}"

    def add_layer(self, members: list[Member]) -> None:
        """Put a layer on top."""
        layer = build_layer(members, "none")
        self.manifest["layers"].append({"mediaType": layer.media_type, **self._put(layer.blob)})
        self.config["rootfs"]["diff_ids"].append(layer.diff_id)

    def remove_layer(self, number: int) -> None:
        """Take a layer out; to be called last."""
        del self.manifest["layers"][number], self.layers[number], self._original[number]
        del self.config["rootfs"]["diff_ids"][number]

    def put_archive(self, number: int, data: bytes) -> None:
        """Let a layer be these bytes, whatever they are."""
        self._put_layer(number, data)

    def _put_layer(self, number: int, data: bytes) -> None:
        layer = self.manifest["layers"][number]
        layer |= {"mediaType": "application/vnd.oci.image.layer.v1.tar", **self._put(data)}
        self.config["rootfs"]["diff_ids"][number] = layer["digest"]

    def _blob(self, digest: str) -> bytes:
        return (self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()

    def _put(self, data: bytes) -> dict[str, Any]:
        digest = sha256_digest(data)
        (self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(data)
        return {"digest": digest, "size": len(data)}


def written(members: list[Member]) -> bytes:
    """Return a layer as builds write them, if the members are such."""
    size = sum(512 + len(member.data) + -len(member.data) % 512 for member in members)
    return tar_of(members, tarfile.USTAR_FORMAT)[: size + 1024]


def flipped(data: bytes) -> bytes:
    """Change one bit in the middle, or give an empty file a byte."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else b"x"


Change = tuple[str, "Callable[[TamperedImage], object]"]


def some_of(changes: list[Change]) -> list[Change]:
    """Return as many as the scale of the tests wants, others in each run."""
    count = min(len(changes), scaled(3 * len(changes)))
    return random.SystemRandom().sample(changes, count)


def changes_of_members(image: TamperedImage, own_layers: int) -> list[Change]:
    """Return a name and a change for each way to change each member of the last layers."""

    def change(path: str, **fields: Any) -> Callable[[TamperedImage], object]:
        return lambda image: image.change(path, lambda member: replace(member, **fields))

    found: list[Change] = []
    for member in [member for layer in image.layers[-own_layers:] for member in layer]:
        path = member.path
        found += [
            (f"without {path}", lambda image, path=path: image.change(path, lambda _: None)),  # type: ignore[misc]
            (f"owner of {path}", change(path, uid=1000)),
            (f"group of {path}", change(path, gid=1000)),
        ]
        match member.type:
            case tarfile.SYMTYPE:
                found += [(f"target of {path}", change(path, link="/etc/passwd"))]
            case tarfile.DIRTYPE:
                found += [
                    (f"sticky {path}", change(path, mode=0o1777)),
                    (f"link in place of {path}", change(path, type=tarfile.SYMTYPE, link="/tmp")),
                ]
            case _:
                found += [
                    (f"a bit of {path}", lambda image, path=path: image.change_data(path, flipped)),  # type: ignore[misc]
                    *([(f"no content of {path}", change(path, data=b""))] if member.data else []),
                    (f"setuid {path}", change(path, mode=member.mode | 0o4000)),
                    (f"writable {path}", change(path, mode=0o777)),
                    (f"link in place of {path}", change(path, type=tarfile.SYMTYPE, link="x", data=b"")),
                    (f"device in place of {path}", change(path, type=tarfile.CHRTYPE, data=b"")),
                    (f"FIFO in place of {path}", change(path, type=tarfile.FIFOTYPE, data=b"")),
                ]
    return found


def changes_of_documents() -> list[Change]:
    """Return changes of configuration, annotations, labels and enclave.json, each of which is a lie."""
    labels = ("libos.version", "mrenclave", "mrsigner", "isvprodid", "isvsvn", "debug", "format", "libos")

    def execution(**members: Any) -> Callable[[TamperedImage], object]:
        return lambda image: image.config["config"].update(members)

    def described(**members: Any) -> Callable[[TamperedImage], object]:
        return lambda image: image.describe(lambda document: document.update(members))

    found: list[Change] = [
        ("Entrypoint", execution(Entrypoint=["/bin/sh"])),
        ("no Entrypoint", execution(Entrypoint=None)),
        ("Cmd", execution(Cmd=["--evil"])),
        ("Env", execution(Env=["LD_PRELOAD=/tmp/evil.so"])),
        ("WorkingDir", execution(WorkingDir="/tmp")),
        ("Healthcheck", execution(Healthcheck={"Test": ["CMD", "/bin/evil"]})),
        ("a newer version", described(version=3)),
        ("an older version", described(version=1)),
        ("argv", described(argv=["/bin/evil"])),
        ("no argv", described(argv=None)),
        ("libos", described(libos={"name": "builtin", "version": "0"})),
        ("mrenclave", described(mrenclave="ab" * 32)),
        ("mrsigner", described(mrsigner="ab" * 32)),
        ("unsigned", described(mrsigner=None)),
        ("isvprodid", described(isvprodid=77)),
        ("isvsvn", described(isvsvn=77)),
        ("debug", described(debug=True)),
        ("unknown member", described(more=1)),
        ("no files", described(files={})),
        (
            "policy",
            lambda image: image.describe(
                lambda document: document["policy"].update(env=[{"name": "EVIL", "unsafe": False}])
            ),
        ),
        (
            "another file",
            lambda image: image.describe(
                lambda document: document["files"].update({"x": {"size": 0, "sha256": "0" * 64}})
            ),
        ),
    ]
    for label in labels:
        key = f"org.enclavize.{label}"
        found += [
            (f"label {label}", lambda image, key=key: image.config["config"]["Labels"].update({key: "x"})),  # type: ignore[misc]
            (f"no label {label}", lambda image, key=key: image.config["config"]["Labels"].pop(key)),  # type: ignore[misc]
            (f"annotation {label}", lambda image, key=key: image.manifest["annotations"].update({key: "x"})),  # type: ignore[misc]
        ]
    return found
