"""Whether a TEE image may run on this node: verified in full once for its content, known again later."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize import __version__
from enclavize.rune.enclave import RUNELETS
from enclavize.rune.enclave_folder import EnclaveFolder
from enclavize.rune.mode import BOTH, Mode
from enclavize.rune.verdict import CoveredFile, Verdict
from enclavize.tee.layout import DESCRIPTION, MAX_DESCRIPTION_SIZE

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.rune.enclave import Enclave
    from enclavize.rune.policy import NodePolicy
    from enclavize.rune.verdict_store import VerdictStore


@dataclass(frozen=True, kw_only=True)
class AdmittedImage:
    """An image that may run. ``described`` is the ``enclave.json`` that was verified."""

    verdict: Verdict
    described: bytes

    @property
    def enclave(self) -> Enclave:
        """Who it is."""
        return self.verdict.enclave

    def libos_version(self) -> str:
        """Return the release of the LibOS, as the image says."""
        from enclavize.tee.description import parse_description

        return parse_description(self.described).libos_version

    def modes(self) -> frozenset[Mode]:
        """Return the modes that the enclave was made for: a LibOS with a PAL of others has files for each."""
        if self.enclave.libos in RUNELETS:
            return BOTH
        from enclavize.tee.description import parse_description

        simulation = parse_description(self.described).simulation
        return frozenset({Mode.SIMULATION if simulation else Mode.HARDWARE})

    def argv(self) -> tuple[str, ...] | None:
        """Return the measured entrypoint and command; None in images that do not tell."""
        from enclavize.tee.description import parse_description

        return parse_description(self.described).argv


def admit_image(rootfs: Path, policy: NodePolicy, store: VerdictStore) -> AdmittedImage:
    """Admit an unpacked image. Raises EnclavizeError if it is not."""
    with EnclaveFolder(rootfs) as folder:
        described = folder.read(DESCRIPTION, MAX_DESCRIPTION_SIZE)
        key = hashlib.sha256(described).hexdigest()
        verdict = _remembered(key, folder, policy, store)
        if verdict is None:
            with store.alone(key):
                verdict = _remembered(key, folder, policy, store) or _verified(
                    key, folder, described, policy, store
                )
        return AdmittedImage(verdict=verdict, described=described)


def _remembered(key: str, folder: EnclaveFolder, policy: NodePolicy, store: VerdictStore) -> Verdict | None:
    """Return the verdict if there is one that still decides."""
    known = store.load(key)
    return known if known is not None and _holds(known, folder, policy) else None


def _verified(
    key: str, folder: EnclaveFolder, described: bytes, policy: NodePolicy, store: VerdictStore
) -> Verdict:
    """Verify in full, and remember it."""
    from enclavize.rune.verification import verify_unpacked

    enclave, hashes = verify_unpacked(folder, described, policy)
    hashes = {**hashes, DESCRIPTION: key}
    files = {name: CoveredFile(found=found, sha256=hashes[name]) for name, found in folder.files.items()}
    verdict = Verdict(
        enclavize=__version__, policy=policy.digests, enclave=enclave, links=folder.links, files=files
    )
    store.save(key, verdict)
    return verdict


def _holds(known: Verdict, folder: EnclaveFolder, policy: NodePolicy) -> bool:
    """Whether a verdict still decides. Names and sizes first: only what was verified is hashed again."""
    files = {name: file.found for name, file in known.files.items()}
    return (
        (known.enclavize, known.policy) == (__version__, policy.digests)
        and (known.links, files) == (folder.links, folder.files)
        and all(folder.sha256(name) == file.sha256 for name, file in known.files.items())
    )
