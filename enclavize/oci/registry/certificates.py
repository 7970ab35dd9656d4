"""Certificates of one registry, where docker looks for them: ``/etc/docker/certs.d/HOST[:PORT]``.

``*.crt`` are authorities beside the system's, ``NAME.cert`` with ``NAME.key`` a certificate of our own.
Source: moby, registry/registry.go, ``ReadCertsDirectory``; docs.docker.com, "Verify repository client with
certificates".
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable

CERTIFICATES_FOLDER = Path("/etc/docker/certs.d")


@dataclass(frozen=True, kw_only=True)
class Contexts:
    """How TLS is spoken: with the registry, and with sites that it leads to, which get no certificate."""

    registry: ssl.SSLContext
    others: ssl.SSLContext


def tls_contexts(registry: str, *, insecure: bool, warn: Callable[[str], None]) -> Contexts:
    """Return the contexts for a registry, HOST[:PORT]. ``warn`` is told what cannot be used of its folder."""
    folder = CERTIFICATES_FOLDER / registry
    authorities, clients = _files(folder, ".crt", warn), _files(folder, ".cert", warn)
    others = _context(authorities, insecure=insecure, warn=warn)
    if not clients:
        return Contexts(registry=others, others=others)
    context = _context(authorities, insecure=insecure, warn=warn)
    for path in clients:
        try:
            context.load_cert_chain(path, path.with_suffix(".key"))
        except OSError as error:  # ssl.SSLError is one
            warn(f"cannot use the certificate {path} and its key: {_reason(error)}")
    return Contexts(registry=context, others=others)


def _context(authorities: list[Path], *, insecure: bool, warn: Callable[[str], None]) -> ssl.SSLContext:
    verification = ssl.CERT_NONE if insecure else ssl.CERT_REQUIRED
    context = urllib3.util.ssl_.create_urllib3_context(cert_reqs=verification)
    context.load_default_certs()
    for path in authorities:
        try:
            context.load_verify_locations(path)
        except OSError as error:
            warn(f"cannot use the authority {path}: {_reason(error)}")
    return context


def _files(folder: Path, suffix: str, warn: Callable[[str], None]) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == suffix)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        warn(f"cannot read {folder}: {_reason(error)}")
        return []


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
