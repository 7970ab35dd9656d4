"""The manifest of a TEE image is somebody else's text: it is bounded before it becomes objects."""

from __future__ import annotations

import pytest

from enclavize.errors import EnclavizeError, InvalidImageError
from enclavize.libos.gramine.manifest_reader import read_manifest

HASH = "ab" * 32
MANIFEST = f"""
[libos]
entrypoint = "/app"
[loader]
entrypoint = {{ uri = "file:/sysdb", sha256 = "{HASH}" }}
argv = ["a 'b' #c", "d.e.f.g.h.i.j.k.l.m.n", "\\"\\\\", ""]
[fs.root]
uri = "file:/"
[sgx]
trusted_files = [
    {{ uri = "file:/a.b.c.d.e.f.g.h.i.j.k.l", sha256 = "{HASH}" }},
]
"""


def test_strings_may_hold_what_keys_may_not() -> None:
    assert read_manifest(MANIFEST.encode())["loader"]["argv"][1].startswith("d.e.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a = [" + b"[]," * (11 << 20) + b"]", "besides its strings"),
        (b"a = " + b"[" * (33 << 20), "besides its strings"),
        (b'a = "' + b'\\"' * (1 << 20), "no valid TOML"),
        (b"a." * 100_000 + b"a = 1", "not as Gramine's tools write it"),
        (b"[sys.ioctl_structs." + b"a." * 20_000 + b"b]\n", "not as Gramine's tools write it"),
        (b"a = 'x'", "not as Gramine's tools write it"),
        (b'a = """x"""', "not as Gramine's tools write it"),
        (b"a = " + b"[" * 100_000, "not as Gramine's tools write it"),
        (b"a = " + b"9" * 10_000, "no valid TOML"),
        (b"a = \xff", "no valid TOML"),
        (b"", "not complete"),
        (MANIFEST.replace(f', sha256 = "{HASH}" }}\nargv', " }\nargv").encode(), "not complete"),
        (MANIFEST.replace("trusted_files", "allowed_files").encode(), "sgx"),
        (MANIFEST.replace('uri = "file:/a', 'uri = 1, x = "').encode(), "trusted_files"),
    ],
)
def test_what_is_no_manifest_or_too_much_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(InvalidImageError, match=message):
        read_manifest(text)


@pytest.mark.parametrize("opening", ["{a=", "["])
@pytest.mark.parametrize("depth", [10, 15, 16, 400, 100_000])
def test_nesting_is_read_or_refused(opening: str, depth: int) -> None:
    import tomli_w

    closing = {"{a=": "}", "[": "]"}[opening]
    text = MANIFEST + f"[sys]\nioctl_structs = {{ x = {opening * depth}1{closing * depth} }}\n"
    try:
        manifest = read_manifest(text.encode())
    except EnclavizeError:
        return
    tomli_w.dumps(manifest)
