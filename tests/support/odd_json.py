"""Random documents with what JSON readers are known to differ on: spellings, twins, odd text and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

DIGEST = "sha256:" + "0" * 64

_DESCRIPTOR = {
    "mediaType": "type", "digest": "digest", "size": "number", "annotations": "map", "artifactType": "text",
    "platform": {"architecture": "text", "os": "text", "variant": "text"}, "urls": "texts", "data": "text",
}  # fmt: skip
_EXECUTION = {
    "User": "text", "ExposedPorts": "set", "Env": "texts", "Entrypoint": "texts", "Cmd": "texts",
    "Volumes": "set", "WorkingDir": "text", "Labels": "map", "StopSignal": "text",
    "Healthcheck": {"Test": "texts", "Retries": "number"}, "Tty": "flag", "OnBuild": "texts",
}  # fmt: skip

KINDS: Mapping[str, Any] = {
    "c": {
        "created": "text", "architecture": "text", "os": "text", "config": _EXECUTION, "author": "text",
        "rootfs": {"type": "layers", "diff_ids": "digests"}, "container_config": _EXECUTION,
    },
    "m": {
        "schemaVersion": "version", "mediaType": "type", "artifactType": "text", "config": _DESCRIPTOR,
        "layers": [_DESCRIPTOR], "subject": _DESCRIPTOR, "annotations": "map",
    },
    "e": [{"Config": "text", "RepoTags": "texts", "Layers": "texts", "Parent": "text"}],
    "s": {
        "ociVersion": "text", "process": {"args": "texts", "env": "texts", "cwd": "text", "terminal": "flag"},
        "root": {"path": "text", "readonly": "flag"}, "annotations": "map", "labels": "texts",
        "mounts": [{"destination": "text", "type": "text", "source": "text", "options": "texts"}],
        "linux": {"sysctl": "map", "maskedPaths": "texts", "cgroupsPath": "text"},
    },
}  # fmt: skip
"""Formats by letter: image configuration, manifest, manifest.json, config.json (with labels, too).

A member holds an object, a list of objects, or the name of a kind of value.
"""

_TEXTS = (
    '""', '"a"', '"/bin/sh"', '"linux"', '"\\u0061"', '"\\u00e9"', '"é"', '"\\ud83d\\ude00"', '"😀"', '"\\""',
    '"\\/"', '"\\\\u0061"', '"\\n"', '"\\u2028"', '"\u2028"', '"x\u017f\u212a"', '"\\u0000"',
)  # fmt: skip
_ODD = (
    "null", "true", "false", "0", "-0", "1.0", "1e3", "1E400", "NaN", "Infinity", "-Infinity", "01", "+1",
    ".5", "1.", "99999999999999999999", "[]", "{}", "[null]", '{"a": null}', '["a", 1]', '"\\ud800"',
    '"\\udc00x"', '"\\ud800\\u0061"', '"\\x"', '"\\u12"', '"\t"', '"\x7f"', "'a'", "nul", "True", "", "[1,]",
    '{"a":1,}', '{"a" 1}', "[[[[[]]]]]", '"\ufeff"',
)  # fmt: skip
_RAW = (
    b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x84"', b'"a\x00b"', b'"\x1f"',
)  # fmt: skip
_TWISTS: Sequence[Callable[[str], str]] = (
    str.upper,
    str.lower,
    str.title,
    str.swapcase,
    lambda name: name.replace("s", "\u017f"),
    lambda name: name.replace("k", "\u212a").replace("K", "\u212a"),
    lambda name: name.replace("s", "\u00df"),
    lambda name: name.replace("i", "\u0131"),
    lambda name: "".join(f"\\u{ord(letter):04x}" for letter in name),
    lambda name: f"{name} ",
    lambda name: f"{name}\\u0000",
    lambda name: f"_{name}",
)
_FRAMES = (b"\xef\xbb\xbf%s", b"%s {}", b"%s\x00", b" \n\t\r%s \n", b"\x0b%s", b"[%s]", b"%s,", b"\xc2\xa0%s")


class OddJson:
    """Documents of one seed."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._oddness = 0.0

    def document(self, kind: str) -> bytes:
        """Return a document of a format: many are as they should be, most have an oddity or two."""
        random = self._random
        self._oddness = random.choice((0.0, 0.02, 0.1))
        data = self._value(KINDS[kind])
        if random.random() < 0.05:
            data = random.choice(_FRAMES) % data
        if random.random() < 0.1:
            at = random.randrange(len(data) + 1)
            put = random.choice((b"", bytes([random.randrange(256)]), b'"', b"}"))
            data = data[:at] + put + data[at + 1 :]
        return data

    def _value(self, shape: Any) -> bytes:
        if self._is_odd():
            return self._random.choice((*_RAW, *(odd.encode() for odd in _ODD)))
        if isinstance(shape, dict):
            return self._object(shape)
        if isinstance(shape, list):
            return self._list([self._value(shape[0]) for _ in range(self._random.randrange(3))])
        return self._scalar(str(shape))

    def _scalar(self, kind: str) -> bytes:
        random = self._random
        match kind:
            case "texts":
                return self._list([self._value("text") for _ in range(random.randrange(3))])
            case "digests":
                return self._list([b'"%s"' % DIGEST.encode()] * random.randrange(2))
            case "map" | "set":
                keys = random.sample(("a", "A", "b", "\\u0061", "K", "k", "\u212a"), random.randrange(4))
                values = (self._value("text") if kind == "map" else b"{}" for _ in keys)
                return b"{%s}" % b",".join(
                    b'"%s":%s' % (key.encode(), value) for key, value in zip(keys, values, strict=True)
                )
            case "number":
                return str(random.randrange(1000)).encode()
            case "version":
                return b"2"
            case "flag":
                return random.choice((b"true", b"false"))
            case "digest":
                return b'"%s"' % DIGEST.encode()
            case "layers":
                return b'"layers"'
            case "type":
                return random.choice((b'""', b'"application/vnd.oci.image.manifest.v1+json"'))
            case _:
                return random.choice(_TEXTS).encode()

    def _object(self, shape: Mapping[str, Any]) -> bytes:
        random = self._random
        members = []
        for name, below in shape.items():
            if name not in ("schemaVersion", "digest", "size") and random.random() < 0.4:
                continue
            spelled = name
            if self._is_odd():
                spelled = random.choice(_TWISTS)(name)
            members.append((spelled, self._value(below)))
            if self._is_odd():
                members.append((random.choice((name, random.choice(_TWISTS)(name))), self._value(below)))
        if self._is_odd():
            members.append((random.choice(("unknown", "Unknown")), self._value("text")))
        random.shuffle(members)
        space = random.choice((b"", b" ", b"\n\t"))
        return b"{%s}" % (b"," + space).join(b'"%s":%s' % (key.encode(), value) for key, value in members)

    def _list(self, items: Sequence[bytes]) -> bytes:
        return b"[%s]" % b",".join(items)

    def _is_odd(self) -> bool:
        return self._random.random() < self._oddness
