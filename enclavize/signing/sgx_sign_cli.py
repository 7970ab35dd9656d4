"""``enclavize-sgx-sign``: takes the place of Intel's ``sgx_sign``, command line and exit codes included.

Unlike the original it never deletes or half-writes a file, keeps the enclave's mode bits and says why it
refuses. Beyond it: ``-date``, SOURCE_DATE_EPOCH, and the command ``digest``, which prints MRENCLAVE.
"""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, UsageError
from enclavize.sgx.atomic_file import write_output
from enclavize.sgx.enclave_file import (
    EnclaveConfig,
    load_config,
    measure_enclave,
    read_signed,
    write_signed,
)
from enclavize.sgx.enclave_file.dump import dump
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.dates import tool_date
from enclavize.signing.keys import doubts, load_private_key, load_public_key
from enclavize.signing.local import LocalSigner, sign_sigstruct
from enclavize.signing.material import SigningMaterial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.sgx.enclave_file import UnsignedEnclave

FAILURE = 255
_MATERIAL_LIMIT = 4096

# Command -> options it needs, options it takes. Each has a file as its value, but -date.
_COMMANDS = {
    "sign": (("-enclave", "-key", "-out"), ("-config", "-dumpfile", "-cssfile", "-date")),
    "gendata": (("-enclave", "-out"), ("-config", "-date")),
    "catsig": (("-enclave", "-key", "-out", "-sig", "-unsigned"), ("-config", "-dumpfile", "-cssfile")),
    "dump": (("-enclave", "-dumpfile"), ("-cssfile",)),
    "digest": (("-enclave",), ("-config",)),
}
_SWITCHES = ("-ignore-rel-error", "-ignore-init-sec-error", "-resign")
_OPTIONS = {option for required, optional in _COMMANDS.values() for option in (*required, *optional)}
_FILES_WRITTEN = ("-out", "-dumpfile", "-cssfile")

_USAGE = """\
Usage: enclavize-sgx-sign COMMAND -enclave FILE [OPTIONS]

Commands:
  sign     -key PRIVATE -out FILE [-config XML]     measure and sign an enclave
  gendata  -out FILE [-config XML]                  write the 256 bytes to be signed elsewhere
  catsig   -key PUBLIC -sig FILE -unsigned FILE -out FILE [-config XML]
                                                    put such a signature into the enclave
  dump     -dumpfile FILE                           describe a signed enclave
  digest   [-config XML]                            print MRENCLAVE
Options:
  -dumpfile FILE, -cssfile FILE   also write the description, the SIGSTRUCT
  -date YYYY-MM-DD                the date to sign; default: SOURCE_DATE_EPOCH, else today (UTC)
  -ignore-rel-error               accept relocations in code
  -ignore-init-sec-error          accept a section .init
  -resign                         accept an enclave that is signed already
  -help, -version
"""


@dataclass(frozen=True, kw_only=True)
class _Request:
    command: str
    options: dict[str, str]
    switches: frozenset[str]

    def path(self, option: str) -> Path:
        return Path(self.options[option])

    def measure(self) -> UnsignedEnclave:
        config = load_config(self.path("-config")) if "-config" in self.options else EnclaveConfig()
        return measure_enclave(
            self.path("-enclave"),
            config,
            resign="-resign" in self.switches,
            ignore_text_relocations="-ignore-rel-error" in self.switches,
            ignore_init_section="-ignore-init-sec-error" in self.switches,
        )

    def date(self) -> int:
        return tool_date(self.options.get("-date"), os.environ)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns 0 or 255, as the original does."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["-help"]:
        print(_USAGE)
        return 0
    if arguments == ["-version"]:
        from enclavize import __version__

        print(f"enclavize-sgx-sign {__version__}, in place of sgx_sign 2.26 and of Occlum's 2.17 to 2.21")
        return 0
    try:
        _run(_parse(arguments))
    except EnclavizeError as error:
        print(f"Error: {error}", file=sys.stderr)
        if error.hint:
            print(error.hint, file=sys.stderr)
        return FAILURE
    except KeyboardInterrupt:
        return FAILURE
    print("Succeed.", file=sys.stderr)
    return 0


def _parse(arguments: Sequence[str]) -> _Request:
    if not arguments:
        raise UsageError("a command is missing", hint=_USAGE)
    command, *rest = arguments
    if command not in _COMMANDS:
        raise UsageError(f'the command "{command}" is unknown', hint=_USAGE)
    required, optional = _COMMANDS[command]
    options: dict[str, str] = {}
    switches: set[str] = set()
    words = iter(rest)
    for word in words:
        option = word.replace("--", "-", 1) if word == "--date" else word
        if option in _SWITCHES:
            if option in switches:
                raise UsageError(f"the option {word} is given twice", hint=_USAGE)
            switches.add(option)
        elif option not in _OPTIONS:
            raise UsageError(f'the option "{word}" is unknown', hint=_USAGE)
        elif option not in (*required, *optional):
            raise UsageError(f'the command "{command}" does not take {word}', hint=_USAGE)
        elif option in options:
            raise UsageError(f"the option {word} is given twice", hint=_USAGE)
        else:
            value = next(words, "-")
            if value.startswith("-"):
                raise UsageError(f"the option {word} needs a value", hint=_USAGE)
            options[option] = value
    if missing := [option for option in required if option not in options]:
        raise UsageError(f'the command "{command}" needs {missing[0]}', hint=_USAGE)
    if command == "dump" and "-resign" in switches:
        raise UsageError('the command "dump" does not take -resign', hint=_USAGE)
    request = _Request(command=command, options=options, switches=frozenset(switches))
    _check_paths_differ(request)
    return request


def _check_paths_differ(request: _Request) -> None:
    paths = [option for option in request.options if option != "-date"]
    for one, other in combinations(paths, 2):
        written = one in _FILES_WRITTEN or other in _FILES_WRITTEN
        if written and request.path(one).resolve() == request.path(other).resolve():
            raise UsageError(f"{one} and {other} name the same file, {request.options[one]}")


def _run(request: _Request) -> None:
    match request.command:
        case "sign":
            _sign(request)
        case "gendata":
            _gendata(request)
        case "catsig":
            _catsig(request)
        case "dump":
            enclave = read_signed(request.path("-enclave"))
            _describe(request, enclave.sigstruct, request.path("-enclave"))
        case _:
            _digest(request)


def _sign(request: _Request) -> None:
    unsigned = request.measure()
    key_path = request.path("-key")
    key = load_private_key(key_path, lambda: _ask_passphrase(key_path), accept_doubtful=True)
    for doubt in doubts(key_path, key.public_key()):
        print(f"Warning: {doubt}", file=sys.stderr)
    sigstruct = Sigstruct(measurement=unsigned.measurement, date=request.date())
    _finish(request, unsigned, sign_sigstruct(sigstruct, LocalSigner(key)))


def _gendata(request: _Request) -> None:
    sigstruct = Sigstruct(measurement=request.measure().measurement, date=request.date())
    write_output(request.path("-out"), [sigstruct.signed_bytes()])


def _catsig(request: _Request) -> None:
    unsigned = request.measure()
    public_key = load_public_key(request.path("-key"))
    material = SigningMaterial(header_and_body=_read(request.path("-unsigned")))
    date = material.sigstruct.date
    expected = Sigstruct(measurement=unsigned.measurement, date=date)
    material.check_describes(expected)
    _finish(request, unsigned, expected.with_signature(_read(request.path("-sig")), public_key))


def _finish(request: _Request, unsigned: UnsignedEnclave, signed: Sigstruct) -> None:
    write_signed(unsigned, signed, request.path("-out"))
    _describe(request, signed, request.path("-out"))


def _describe(request: _Request, sigstruct: Sigstruct, enclave: Path) -> None:
    if "-dumpfile" in request.options:
        write_output(request.path("-dumpfile"), [dump(read_signed(enclave)).encode()])
    if "-cssfile" in request.options:
        write_output(request.path("-cssfile"), [sigstruct.to_bytes()])


def _digest(request: _Request) -> None:
    """MRENCLAVE of a signed enclave, or of an unsigned one under a configuration."""
    if "-config" in request.options:
        mrenclave = request.measure().measurement.mrenclave
    else:
        try:
            mrenclave = read_signed(request.path("-enclave")).remeasure()
        except EnclavizeError:
            mrenclave = request.measure().measurement.mrenclave
    print(mrenclave.hex())


def _ask_passphrase(path: Path) -> bytes:
    try:
        return getpass.getpass(f"Passphrase of {path}: ").encode()
    except (EOFError, OSError) as error:
        raise UsageError(f"the key {path} is encrypted, and there is no terminal to ask on") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MATERIAL_LIMIT)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
