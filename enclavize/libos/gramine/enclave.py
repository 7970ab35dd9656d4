"""A Gramine enclave: libpal.so and the completed manifest, which are measured. The ``.sig`` is SIGSTRUCT."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enclavize.errors import IntegrityError
from enclavize.libos.gramine.layout import SIGNATURE
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.tee.instance import InstanceFile

if TYPE_CHECKING:
    from enclavize.sgx.gramine_manifest import GramineManifest
    from enclavize.sgx.measurement import Measurement


@dataclass(frozen=True, kw_only=True)
class GramineEnclave:
    """What is measured. ``libpal`` is the PAL for SGX."""

    libpal: bytes = field(repr=False)
    manifest: GramineManifest = field(repr=False)

    def measure(self) -> MeasuredGramineEnclave:
        """Measure it. Raises UsageError for sizes that the loader refuses, InvalidEnclaveError."""
        return MeasuredGramineEnclave(measurement=self.manifest.measure(self.libpal))


@dataclass(frozen=True, kw_only=True)
class MeasuredGramineEnclave:
    """The enclave with its MRENCLAVE; its signature is a file of its own."""

    measurement: Measurement

    def signed(self, sigstruct: Sigstruct) -> InstanceFile:
        """Return the ``.sig`` file. Raises IntegrityError if ``sigstruct`` is of another enclave."""
        if sigstruct.measurement != self.measurement:
            raise IntegrityError("the SIGSTRUCT is that of another enclave")
        return _file(sigstruct)

    def prepared(self, date: int) -> InstanceFile:
        """Return the ``.sig`` file without signature, with a date."""
        return _file(Sigstruct(measurement=self.measurement, date=date))


def _file(sigstruct: Sigstruct) -> InstanceFile:
    data = sigstruct.to_bytes()
    return InstanceFile(path=SIGNATURE, mode=0o444, size=len(data), open=lambda: io.BytesIO(data))
