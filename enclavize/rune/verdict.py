"""What rune remembers of a TEE image that it has verified and admitted: a text file, a fact a line.

    rune-verdict 1
    enclavize 0.2.0
    policy HEX  /etc/rune/config.toml
    libos builtin
    mrenclave HEX
    mrsigner HEX
    isvprodid 0
    isvsvn 0
    debug 0
    link TARGET  instance/app.manifest
    file 444 4096 HEX  instance/rootfs.erofs
    end

``policy`` lines name every file that decided, with its SHA-256, or with "-" if it was not there. ``file``
lines name every file below ``/.enclave`` with its mode in octal, size in bytes and SHA-256: an image that has
the same ones is the image that was verified. Lines stand in this order; the last says that none is missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.rune.enclave import Enclave
from enclavize.rune.enclave_folder import FoundFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ABSENT = "-"
"""Stands for the digest of a file that was not there."""

_FIRST_LINE = "rune-verdict 1"
_LAST_LINE = "end"
_HASH = r"[0-9a-f]{64}"
_NUMBER = r"\d{1,5}"
_PLAIN = r"[!-~]+"  # no blanks in what stands before others
_NAME = r"[^\x00-\x1f\x7f]+"
_FACTS = re.compile(
    rf"enclavize (?P<enclavize>{_PLAIN})\n"
    rf"(?P<policy>(?:policy (?:{_HASH}|{ABSENT})  {_NAME}\n)*)"
    rf"libos (?P<libos>{_PLAIN})\nmrenclave (?P<mrenclave>{_HASH})\nmrsigner (?P<mrsigner>{_HASH})\n"
    rf"isvprodid (?P<isvprodid>{_NUMBER})\nisvsvn (?P<isvsvn>{_NUMBER})\ndebug (?P<debug>[01])\n"
    rf"(?P<links>(?:link {_PLAIN}  {_NAME}\n)*)"
    rf"(?P<files>(?:file [0-7]{{1,4}} \d{{1,19}} {_HASH}  {_NAME}\n)+)"
)


@dataclass(frozen=True, kw_only=True)
class CoveredFile:
    """A file that was verified: as it was found, with its SHA-256 in hex."""

    found: FoundFile
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An admitted image. ``policy`` are digests by the names of the files that decided; paths are below
    ``/.enclave``.
    """

    enclavize: str
    policy: Mapping[str, str]
    enclave: Enclave
    links: Mapping[str, str]
    files: Mapping[str, CoveredFile]

    def to_text(self) -> str:
        """Return the file."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        enclave = self.enclave
        yield _FIRST_LINE
        yield f"enclavize {self.enclavize}"
        yield from (f"policy {digest}  {name}" for name, digest in self.policy.items())
        yield f"libos {enclave.libos}"
        yield f"mrenclave {enclave.mrenclave.hex()}"
        yield f"mrsigner {enclave.mrsigner.hex()}"
        yield f"isvprodid {enclave.isv_prod_id}"
        yield f"isvsvn {enclave.isv_svn}"
        yield f"debug {int(enclave.debug)}"
        yield from (f"link {target}  {path}" for path, target in sorted(self.links.items()))
        for path, file in sorted(self.files.items()):
            yield f"file {file.found.mode:o} {file.found.size} {file.sha256}  {path}"
        yield _LAST_LINE


def parse_verdict(text: str) -> Verdict | None:
    """Read a verdict; None if it is not exactly of the form above."""
    facts = _FACTS.fullmatch(text.removeprefix(f"{_FIRST_LINE}\n").removesuffix(f"{_LAST_LINE}\n"))
    if facts is None:
        return None
    verdict = Verdict(
        enclavize=facts["enclavize"],
        policy={name: digest for digest, name in _lines_of(facts["policy"])},
        enclave=Enclave(
            libos=facts["libos"],
            mrenclave=bytes.fromhex(facts["mrenclave"]),
            mrsigner=bytes.fromhex(facts["mrsigner"]),
            isv_prod_id=int(facts["isvprodid"]),
            isv_svn=int(facts["isvsvn"]),
            debug=facts["debug"] == "1",
        ),
        links={path: target for target, path in _lines_of(facts["links"])},
        files={path: _covered(values) for values, path in _lines_of(facts["files"])},
    )
    return verdict if verdict.to_text() == text else None


def _lines_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield what stands between the keyword and the name, and the name."""
    for line in text.split("\n")[:-1]:
        values, _, name = line.partition("  ")
        yield values.partition(" ")[2], name


def _covered(values: str) -> CoveredFile:
    mode, size, sha256 = values.split(" ")
    return CoveredFile(found=FoundFile(mode=int(mode, 8), size=int(size)), sha256=sha256)
