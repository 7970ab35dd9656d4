"""Changes of a TEE image, from a seed: by hand of a forger without the key, or by chance.

Each is a name and a :class:`~support.forgery.Forgery`.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from enclavize.oci.digest import sha256_digest
from support.changed_json import JsonChanger, Pairs
from support.forgery import DESCRIPTION, as_built, written_as_built
from support.images import build_layer, file, hard_link, opaque, symlink, tar_of, whiteout
from support.odd_tars import OddTars

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from support.forgery import Forgery
    from support.images import Member

Change = tuple[str, "Forgery"]

_EVIL = ["/bin/evil"]
_CONFIG_HINTS: dict[str, list[Any]] = {
    "Entrypoint": [_EVIL, None, [], ["/bin/hello"], ["/.enclave/bin/runelet", "x"], "/bin/evil"],
    "Cmd": [_EVIL, None, ["/.enclave/bin/runelet"], []],
    "Env": [["ENCLAVIZE_SIMULATE=1"], ["LD_PRELOAD=/x"], None, []],
    "User": ["12345", "root", "0:0", "nobody", ""],
    "WorkingDir": ["/tmp", "/.enclave", ""],
    "StopSignal": ["SIGKILL", "9", "SIGTERM"],
    "Healthcheck": [Pairs([("Test", ["CMD", "/bin/evil"])]), Pairs([("Test", ["CMD-SHELL", "evil"])]), None],
    "Test": [["CMD", "/bin/evil"], ["NONE"]],
    "OnBuild": [["RUN evil"], []],
    "Shell": [["/bin/evil"], None],
    "Volumes": [Pairs([(path, Pairs())]) for path in ("/.enclave/instance", "/", "/data")],
    "Labels": [Pairs([("org.enclavize.debug", "true")]), Pairs(), None],
    "org.enclavize.mrsigner": ["ab" * 32],
    "org.enclavize.format": ["1", "3"],
    "org.enclavize.libos": ["gramine", "occlum"],
    "architecture": ["arm64", "x86_64", "AMD64", ""],
    "os": ["windows", "LINUX", ""],
    "rootfs": [Pairs([("type", "layers"), ("diff_ids", [])])],
    "diff_ids": [[], ["sha256:" + "0" * 64]],
    "config": [Pairs([("Entrypoint", _EVIL)]), None],
}  # fmt: skip
_MANIFEST_HINTS: dict[str, list[Any]] = {
    "layers": [[], None],
    "manifests": [[]],
    "mediaType": ["application/vnd.oci.image.index.v1+json", "application/x", ""],
    "digest": ["sha256:" + "0" * 64, "sha512:" + "0" * 128],
    "size": [0, 1, -1, 10**12],
    "annotations": [Pairs([("org.enclavize.debug", "true")]), None],
    "config": [Pairs()],
    "schemaVersion": [1, 2.0, "2"],
    "artifactType": ["application/x"],
    "subject": [Pairs([("mediaType", "x"), ("digest", "sha256:" + "0" * 64), ("size", 1)])],
    "urls": [["http://127.0.0.1/x"]],
    "platform": [Pairs([("os", "linux"), ("architecture", "arm64")])],
    "data": ["e30="],
}  # fmt: skip
_DESCRIPTION_HINTS: dict[str, list[Any]] = {
    "version": [1, 3, "2"],
    "generator": ["enclavize/99.0.0", ""],
    "name": ["gramine", "occlum"],
    "mrenclave": ["ab" * 32],
    "mrsigner": ["ab" * 32, None],
    "isvprodid": [7],
    "isvsvn": [65535],
    "debug": [True],
    "argv": [["evil"], []],
    "args": [True],
    "env": [[Pairs([("name", "EVIL"), ("unsafe", False)])]],
    "exec": [True, [["evil"]]],
    "volumes": [[Pairs([("path", "/x"), ("readonly", False), ("exec", True)])]],
    "host_network_files": [True],
    "network": ["all", "loopback", "none"],
    "files": [Pairs()],
    "sha256": ["0" * 64],
    "size": [0],
}  # fmt: skip


class Mutations:
    """The changes of one image; ``own`` are how many of its last layers a build added.

    ``partly_read`` are files of which nobody reads all, and nothing binds the rest.
    """

    def __init__(
        self,
        image: Forgery,
        random: Random,
        *,
        own: int = 2,
        stranger: Forgery | None = None,
        partly_read: frozenset[str] = frozenset(),
    ) -> None:
        self._image = image
        self._random = random
        self._own = own
        self._stranger = stranger
        self._partly_read = partly_read

    @property
    def families(self) -> dict[str, Callable[[], Change]]:
        """All kinds of changes by name."""
        return {
            "manifest": self.manifest,
            "configuration": self.configuration,
            "index": self.index,
            "description": self.description,
            "headers": self.headers,
            "members": self.members,
            "file": self.file,
            "signature": self.signature,
            "source": self.source,
            "layers": self.layers,
            "blob": self.blob,
            "transplant": self.transplant,
        }

    def manifest(self) -> Change:
        """Change the manifest."""
        done, data = JsonChanger(self._random, _MANIFEST_HINTS).changed(self._image.manifest)
        return done, self._image.with_manifest(data)

    def configuration(self) -> Change:
        """Change the configuration."""
        done, data = JsonChanger(self._random, _CONFIG_HINTS).changed(self._image.config)
        return done, self._image.with_config(data)

    def index(self) -> Change:
        """Change index.json."""
        done, data = JsonChanger(self._random, _MANIFEST_HINTS).changed(self._image.plain_index())
        return done, replace(self._image, index=data)

    def description(self) -> Change:
        """Change enclave.json, and write it as a build would, or as it comes."""
        done = ""

        def change(data: bytes) -> bytes:
            nonlocal done
            done, changed = JsonChanger(self._random, _DESCRIPTION_HINTS).changed(data)
            if self._random.random() < 0.8:
                try:
                    return as_built(json.loads(changed))
                except ValueError:
                    pass
            return changed

        forged = self._image.with_file(DESCRIPTION, change)
        return done, forged

    def headers(self) -> Change:
        """Change headers of one of the enclave's own layers, or bytes anywhere in it."""
        number = self._own_layer()
        content = self._image.content(number)
        if self._random.random() < 0.3:
            at = self._random.randrange(len(content))
            return f"byte {at} of layer {number}", self._image.with_archive(
                number, self._flipped(content, at)
            )
        changed = OddTars(self._random, 0.02).changed(content)
        return f"headers of layer {number}", self._image.with_archive(number, changed)

    def members(self) -> Change:
        """Change what members there are in one of the enclave's own layers."""
        number = self._own_layer()
        done, members = self._of_members(self._image.members(number))
        try:
            archive = (
                written_as_built(members)
                if self._random.random() < 0.5
                else tar_of(members, tarfile.USTAR_FORMAT)
            )
        except (ValueError, KeyError):  # what a build would not write
            archive = tar_of(members)
        return f"layer {number}: {done}", self._image.with_archive(number, archive)

    def file(self) -> Change:
        """Change what is in one of the enclave's own files."""
        path = self._path()
        done = ""

        def change(data: bytes) -> bytes:
            nonlocal done
            done, changed = self._other_bytes(data)
            return changed

        redescribed = self._random.random() < 0.8
        forged = self._image.with_file(path, change, redescribed=redescribed)
        return f"{path}: {done}{', redescribed' if redescribed else ''}", forged

    def signature(self) -> Change:
        """Change a byte of SIGSTRUCT, of the metadata around it, or of the measured configuration."""
        path = self._signature_path()
        done = ""

        def change(data: bytes) -> bytes:
            nonlocal done
            start = self._sigstruct_at(data)
            anywhere = path not in self._partly_read and self._random.random() < 0.3
            at = self._random.randrange(len(data)) if anywhere else start + self._random.randrange(1808)
            done = f"byte {at - start} from SIGSTRUCT"
            return self._flipped(data, at)

        forged = self._image.with_file(path, change)
        return done, forged

    def source(self) -> Change:
        """Change a layer that comes from the source image."""
        number = self._random.randrange(len(self._image.layers) - self._own)
        match self._random.randrange(4):
            case 0:
                content = OddTars(self._random, 0.02).changed(self._image.content(number))
                done, layer = "headers", build_layer(content)
            case 1:
                done, members = self._of_members(self._image.members(number))
                layer = build_layer(members)
            case 2:
                done, layer = (
                    "compressed otherwise",
                    build_layer(self._image.content(number), self._random.choice(["none", "zstd"])),
                )
            case _:
                content = self._image.content(number)
                at = self._random.randrange(len(content))
                done, layer = f"byte {at}", build_layer(self._flipped(content, at))
        layers = list(self._image.layers)
        layers[number] = layer
        return f"source layer {number}: {done}", self._image.with_layers(layers)

    def layers(self) -> Change:
        """Change the list of layers."""
        layers = list(self._image.layers)
        at = self._random.randrange(len(layers))
        match self._random.randrange(7):
            case 0:
                done = f"without layer {at}"
                del layers[at]
            case 1:
                done = f"layer {at} twice"
                layers.insert(self._random.randrange(len(layers) + 1), layers[at])
            case 2:
                other = self._random.randrange(len(layers))
                done = f"layers {at} and {other} swapped"
                layers[at], layers[other] = layers[other], layers[at]
            case 3:
                done = "one more layer"
                layers.insert(self._random.randrange(len(layers) + 1), build_layer([self._evil_member()]))
            case 4:
                done = f"layer {at} called otherwise"
                other_type = self._random.choice(
                    [
                        "application/vnd.oci.image.layer.v1.tar+gzip",
                        "application/vnd.docker.image.rootfs.diff.tar.gzip",
                        "application/vnd.oci.image.layer.v1.tar",
                        "application/x",
                        "",
                    ]
                )
                layers[at] = replace(layers[at], media_type=other_type)
            case 5:
                done = f"layer {at} with bytes behind it"
                content = self._image.content(at) + self._random.choice(
                    [bytes(512), b"x", tar_of([self._evil_member()])]
                )
                layers[at] = build_layer(content, "none")
            case _:
                done = f"layer {at} with another diff_id"
                layers[at] = replace(layers[at], diff_id=sha256_digest(self._random.randbytes(8)))
        return done, self._image.with_layers(layers)

    def blob(self) -> Change:
        """Change a blob without telling its digest."""
        contents = {sha256_digest(data): data for data in (self._image.manifest, self._image.config)}
        contents |= {layer.descriptor.digest: layer.blob for layer in self._image.layers}
        digest = self._random.choice(sorted(contents))
        done, data = self._other_bytes(contents[digest])
        return f"blob {digest[:15]}: {done}", replace(self._image, blobs={digest: data})

    def transplant(self) -> Change:
        """Put in what belongs to a stranger's image of the same program."""
        stranger = self._stranger or self._image
        match self._random.randrange(4):
            case 0:
                return "a stranger's configuration", self._image.with_config(stranger.config)
            case 1:
                return "a stranger's last layer", self._image.with_layers(
                    [*self._image.layers[:-1], stranger.layers[-1]]
                )
            case 2:
                return "a stranger's image", replace(stranger, index=None)
            case _:
                path = self._signature_path()
                data = next(member.data for member in stranger.members(-1) if member.path == path)
                return "a stranger's signature", self._image.with_file(path, lambda _: data)

    def _own_layer(self) -> int:
        count = len(self._image.layers)
        return self._random.randrange(count - self._own, count)

    def _path(self) -> str:
        paths = [
            member.path
            for number in range(len(self._image.layers) - self._own, len(self._image.layers))
            for member in self._image.members(number)
            if member.type == tarfile.REGTYPE and member.path not in {DESCRIPTION, *self._partly_read}
        ]
        return self._random.choice(paths)

    def _signature_path(self) -> str:
        paths = [member.path for member in self._image.members(-1)]
        return next(
            path
            for path in paths
            if path.endswith(("enclave.signed.so", "app.sig", "libocclum-libos.signed.so"))
        )

    def _sigstruct_at(self, data: bytes) -> int:
        """Find SIGSTRUCT by its HEADER (Intel SDM, volume 3D, table 38-19)."""
        return max(0, data.find(bytes.fromhex("06000000e10000000000010000000000")))

    def _flipped(self, data: bytes, at: int) -> bytes:
        return data[:at] + bytes([data[at] ^ 1 << self._random.randrange(8)]) + data[at + 1 :]

    def _other_bytes(self, data: bytes) -> tuple[str, bytes]:
        at = self._random.randrange(len(data)) if data else 0
        match self._random.randrange(6):
            case 0:
                return f"cut at {at}", data[:at]
            case 1:
                return "one byte more", data + b"\0"
            case 2:
                return "something else", b"\x7fELF" + self._random.randbytes(100)
            case _ if data:
                return f"byte {at}", self._flipped(data, at)
            case _:
                return "something", b"x"

    def _evil_member(self) -> Member:
        return self._random.choice(
            [
                file("bin/hello", "evil", 0o755), file(".enclave/bin/runelet", "evil", 0o755),
                whiteout("bin/hello"), whiteout(".enclave/bin/runelet"), opaque(".enclave"),
                symlink(".enclave", "bin"), hard_link("bin/evil", ".enclave/bin/runelet", mode=0o555),
                file("etc/ld-musl-x86_64.path", "/tmp"),
            ]
        )  # fmt: skip

    def _of_members(self, members: Sequence[Member]) -> tuple[str, list[Member]]:
        found = list(members)
        at = self._random.randrange(len(found))
        member = found[at]
        match self._random.randrange(8):
            case 0:
                del found[at]
                return f"without {member.path}", found
            case 1:
                found.insert(self._random.randrange(len(found) + 1), member)
                return f"{member.path} twice", found
            case 2:
                other = self._random.randrange(len(found))
                found[at], found[other] = found[other], found[at]
                return f"{member.path} elsewhere", found
            case 3:
                found.insert(self._random.randrange(len(found) + 1), self._evil_member())
                return "one more", found
            case 4:
                mode = self._random.choice([0o777, 0o4755, 0o644, 0, 0o1777])
                found[at] = replace(member, mode=mode)
                return f"{member.path} with mode {mode:o}", found
            case 5:
                found[at] = replace(member, uid=self._random.choice([0, 1000]), gid=1000)
                return f"{member.path} of somebody", found
            case 6:
                kind = self._random.choice([b"0", b"1", b"2", b"3", b"5", b"6"])
                found[at] = replace(
                    member,
                    type=kind,
                    link="x" if kind in b"12" else "",
                    data=member.data if kind == b"0" else b"",
                )
                return f"{member.path} of type {kind!r}", found
            case _:
                name = self._random.choice(
                    [f"./{member.path}", f"/{member.path}", f"{member.path}2", f"x/../{member.path}"]
                )
                found[at] = replace(member, path=name)
                return f"{member.path} named {name}", found
