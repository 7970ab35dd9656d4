"""Enclaves in the Intel SDK format: that of the builtin LibOS, and Occlum's."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from enclavize.tee.instance import InstanceFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from enclavize.sgx.enclave_file import EnclaveConfig, UnsignedEnclave
    from enclavize.sgx.measurement import Measurement
    from enclavize.sgx.sigstruct import Sigstruct

_MODE = 0o444


@dataclass(frozen=True, kw_only=True)
class SdkEnclave:
    """An enclave file as it was linked, and its layout. ``path`` is where it goes, below ``/.enclave``."""

    path: str
    image: bytes = field(repr=False)
    config: EnclaveConfig

    def measure(self) -> MeasuredSdkEnclave:
        """Measure it. Raises InvalidEnclaveError, UsageError."""
        from enclavize.sgx.enclave_file import measure_enclave

        return MeasuredSdkEnclave(path=self.path, unsigned=measure_enclave(self.image, self.config))


@dataclass(frozen=True, kw_only=True)
class MeasuredSdkEnclave:
    """An enclave file that was measured; SIGSTRUCT goes into its metadata."""

    path: str
    unsigned: UnsignedEnclave = field(repr=False)

    @property
    def measurement(self) -> Measurement:
        """What SIGSTRUCT will say."""
        return self.unsigned.measurement

    def signed(self, sigstruct: Sigstruct) -> InstanceFile:
        """Return the signed enclave file. Raises IntegrityError if ``sigstruct`` is of another enclave."""
        return self._file(self.unsigned.signed_image(sigstruct))

    def prepared(self, date: int) -> InstanceFile:
        """Return the enclave file with an unsigned SIGSTRUCT of this date."""
        return self._file(self.unsigned.prepared_image(date))

    def _file(self, parts: Iterable[bytes | memoryview]) -> InstanceFile:
        image = b"".join(parts)
        return InstanceFile(path=self.path, mode=_MODE, size=len(image), open=lambda: io.BytesIO(image))


def read_sdk_enclave(path: str, image: bytes) -> tuple[MeasuredSdkEnclave, Sigstruct]:
    """Measure an enclave file again by its own metadata; return it with its SIGSTRUCT, signed or not.

    Raises InvalidEnclaveError, IntegrityError if the SIGSTRUCT is not that of the file, or if there are bytes
    in its metadata that nobody reads: nothing binds those.
    """
    from enclavize.sgx.enclave_file import read_signed

    found = read_signed(image)
    found.check_metadata()
    return MeasuredSdkEnclave(path=path, unsigned=found.unsigned(_MODE)), found.sigstruct
