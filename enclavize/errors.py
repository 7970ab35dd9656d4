"""The one hierarchy of errors that reach a user.

    EnclavizeError                  exit code 1
    ├── IntegrityError              1   bytes differ from the digest, size or measurement that names them
    ├── InvalidImageError           1   an image, layer or archive breaks its specification
    ├── UsageError                  2   contradictory or malformed options
    ├── IncompatibleImageError      3   the LibOS cannot run this image
    ├── SigningRefusedError         4   a key, signer or policy says no
    ├── SigningServiceError         5   a signing service cannot be reached, or does not know us
    ├── RegistryError               5   a registry cannot be reached, or answers with an error
    │   └── AuthenticationError     5   ... because of missing or wrong credentials
    └── OutsideUncheckedError       6   an image is as expected, what runs outside of its enclave is unknown

A message says what failed and on which object; ``hint`` says what to do about it.
"""


class EnclavizeError(Exception):
    """An error whose message is written for the user; shown without a traceback."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class IntegrityError(EnclavizeError):
    """Bytes differ from the digest, size or measurement that names them."""


class InvalidImageError(EnclavizeError):
    """An image, layer or archive breaks its specification."""


class MissingBlobError(InvalidImageError):
    """A layer or configuration that a manifest names is not there."""


class UsageError(EnclavizeError):
    """Contradictory or malformed options."""

    exit_code = 2


class IncompatibleImageError(EnclavizeError):
    """The LibOS cannot run this image."""

    exit_code = 3


class SigningRefusedError(EnclavizeError):
    """A key, a signer or a policy refuses to sign or to trust."""

    exit_code = 4


class SigningServiceError(EnclavizeError):
    """A signing service cannot be reached, answers with an error, or does not know the client."""

    exit_code = 5


class RegistryError(EnclavizeError):
    """A registry cannot be reached, or answers with an error."""

    exit_code = 5


class NotFoundError(RegistryError):
    """The registry does not have this repository, manifest or blob."""


class AuthenticationError(RegistryError):
    """A registry refuses the credentials, or wants some."""


class OutsideUncheckedError(EnclavizeError):
    """A TEE image is as expected, but nobody said what may run outside of its enclave, so that is unknown."""

    exit_code = 6
