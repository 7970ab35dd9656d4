"""Errors of this package."""

from enclavize.errors import EnclavizeError


class InvalidEnclaveError(EnclavizeError):
    """A file is no enclave that can be signed, measured or loaded."""
