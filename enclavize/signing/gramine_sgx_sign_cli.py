"""``enclavize-gramine-sgx-sign``: takes the place of ``gramine-sgx-sign`` 1.9.

The same manifest, key, libpal and date give the same two files. Manifests that Gramine cannot run, and that
the original signs nevertheless, are refused; nothing is written before everything is made.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, SigningRefusedError, UsageError
from enclavize.sgx.atomic_file import write_output
from enclavize.sgx.gramine_manifest import complete_manifest
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.dates import tool_date
from enclavize.signing.keys import doubts, load_private_key
from enclavize.signing.local import LocalSigner, sign_sigstruct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.sgx.gramine_manifest import GramineManifest
    from enclavize.sgx.measurement import Measurement

_GRAMINE = Path("/usr/lib/x86_64-linux-gnu/gramine")  # where Gramine's Debian package puts it
_MAX_INPUT = 256 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns 0, 2 for wrong options and keys, 1 for everything else."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except EnclavizeError as error:
        print(f"Error: {error}", file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        return 2 if isinstance(error, UsageError | SigningRefusedError) else 1
    except KeyboardInterrupt:
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    parser = argparse.ArgumentParser(
        prog="enclavize-gramine-sgx-sign", description="Sign a Gramine manifest for SGX.", allow_abbrev=False
    )
    add = parser.add_argument
    add("-m", "--manifest", required=True, help="input .manifest file, - for standard input")
    add("-o", "--output", required=True, type=Path, help="output .manifest.sgx file")
    add("-s", "--sigfile", type=Path, help="output .sig file; default: beside the manifest")
    add("-k", "--key", type=Path, default=config / "gramine/enclave-key.pem", help="private key (PEM)")
    add("-p", "--passphrase", "--password", help="passphrase of the key; others can see it: better be asked")
    add("-l", "--libpal", type=Path, default=_GRAMINE / "sgx/libpal.so", help="Gramine's libpal.so for SGX")
    add(
        "-d",
        "--date",
        default="today",
        help='YYYY-MM-DD or "today", which is SOURCE_DATE_EPOCH if that is set',
    )
    add("--chroot", type=Path, help="folder in which the trusted files are measured")
    add("--depfile", type=Path, help="write the dependencies of the two outputs")
    add("--with", dest="plugin", choices=["file"], default="file", help="how to sign; only with a key file")
    add("-v", "--verbose", action="store_true", default=True, help="print details (default)")
    add("-q", "--quiet", dest="verbose", action="store_false", help="print nothing")
    return parser


def _run(options: argparse.Namespace) -> None:
    date = tool_date(options.date, os.environ)
    if options.manifest == "-" and options.sigfile is None:
        raise UsageError("a manifest from standard input needs --sigfile")
    if options.chroot is not None and not options.chroot.is_dir():
        raise UsageError(f"--chroot {options.chroot} is no folder")
    signer = _signer(options)
    text = sys.stdin.buffer.read(_MAX_INPUT) if options.manifest == "-" else _read(Path(options.manifest))
    manifest = complete_manifest(text, chroot=options.chroot, libos=_GRAMINE / "libsysdb.so")
    measurement = manifest.measure(_read(options.libpal))
    signed = sign_sigstruct(Sigstruct(measurement=measurement, date=date), signer, options.manifest)
    write_output(options.output, [manifest.text])
    write_output(options.sigfile or _default_sigfile(options.manifest), [signed.to_bytes()])
    if options.depfile:
        dependencies = [*manifest.files, options.libpal, options.key]
        lines = "".join(f" \\\n\t{path}" for path in dependencies)
        write_output(options.depfile, [f"{options.output}:{lines}\n".encode(errors="surrogateescape")])
    if options.verbose:
        _report(manifest, measurement)


def _signer(options: argparse.Namespace) -> LocalSigner:
    def passphrase() -> bytes:
        if options.passphrase is not None:
            print("Warning: other users can see a passphrase on the command line", file=sys.stderr)
            return str(options.passphrase).encode()
        try:
            return getpass.getpass(f"Passphrase of {options.key}: ").encode()
        except (EOFError, OSError) as error:
            raise UsageError(
                f"the key {options.key} is encrypted, and there is no terminal to ask on"
            ) from error

    key = load_private_key(options.key, passphrase, accept_doubtful=True)
    for doubt in doubts(options.key, key.public_key()):
        print(f"Warning: {doubt}", file=sys.stderr)
    return LocalSigner(key)


def _default_sigfile(manifest: str) -> Path:
    return Path(f"{manifest.removesuffix('.manifest')}.sig")


def _report(manifest: GramineManifest, measurement: Measurement) -> None:
    print("Attributes (required for enclave measurement):")
    print(f"    size:        {manifest.enclave_size:#x}")
    print(f"    edmm:        {manifest.edmm}")
    print(f"    max_threads: {manifest.max_threads}")
    print("Measurement:")
    print(f"    {measurement.mrenclave.hex()}")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_INPUT + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _MAX_INPUT:
        raise UsageError(f"{path} is too large")
    return data


if __name__ == "__main__":
    sys.exit(main())
