"""Try changed TEE images on ``verify``, without a process for each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError
from enclavize.oci.location import parse_location
from enclavize.pipeline.verify import verify_image
from enclavize.progress import Reporter
from support.forgery import TAG
from support.mutations import Mutations
from support.same_image import differences

if TYPE_CHECKING:
    from pathlib import Path

    from enclavize.tee.expectations import Expectations
    from support.forgery import Forgery


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Alice's image, and a stranger's of the same program; ``expectations`` are what Alice's image meets."""

    alice: Forgery
    stranger: Forgery
    expectations: Expectations
    metadata: bool = True
    """Whether the LibOS binds modes, owners and times of files."""
    partly_read: frozenset[str] = frozenset()
    """Files of which nobody reads all, and nothing binds the rest."""

    def verdict(self, name: str) -> str:
        """Return what speaks against an image, "" if nothing does. Only typed errors are caught."""
        try:
            verdict = verify_image(
                parse_location(name), self.expectations, insecure=False, reporter=Reporter()
            )
        except EnclavizeError as error:
            return str(error)
        found = verdict.to_json()
        return "" if found["trusted"] else "; ".join(verdict.objections) or f"outside: {found['outside']}"

    def mutations(self, family: str, seed: int) -> Mutations:
        """Return the changes from a seed."""
        random = Random(f"{family} {seed}")
        return Mutations(self.alice, random, stranger=self.stranger, partly_read=self.partly_read)

    def run(self, family: str, layout: Path, wanted: int) -> None:
        """Change the image until ``wanted`` different changes were refused; ``layout`` has Alice's image.

        Fails where a changed image is trusted that somebody could tell from Alice's.
        """
        changed, neutral = set[bytes](), 0
        for seed in count():
            done, forged = self.mutations(family, seed).families[family]()
            if forged == self.alice or forged.fingerprint in changed:
                continue
            written = forged.write(layout)
            said = self.verdict(f"oci:{layout}:{TAG}")
            for path in written:
                path.unlink()
            if forged.blobs:
                self.alice.write(layout)
            if not said:
                seen = list(differences(self.alice, forged, metadata=self.metadata))
                assert not seen, f"{family}, seed {seed}: {done}: {seen}"
                neutral += 1
            else:
                changed.add(forged.fingerprint)
            assert neutral <= 4 * len(changed) + 40, "most of what is changed has no effect"
            if len(changed) == wanted:
                break
