"""Keys in a PKCS#11 token: the key never leaves it, the token signs.

A key is named by an RFC 7512 URI, ``pkcs11:token=TOKEN;object=LABEL``. The extra ``pkcs11`` is needed.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote_to_bytes

from enclavize.errors import SigningRefusedError, UsageError
from enclavize.sgx.structures import RSA_EXPONENT
from enclavize.signing.image_payload import build_payload
from enclavize.signing.keys import RSA_KEY_BITS, check_sgx_key
from enclavize.signing.secret_file import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from pkcs11 import Session, Token

    from enclavize.signing.material import SigningMaterial

T = TypeVar("T")

SCHEME = "pkcs11:"
MODULE_VARIABLE = "ENCLAVIZE_PKCS11_MODULE"

_MAX_URI = 4096
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_TOKEN_ATTRIBUTES = ("token", "manufacturer", "serial", "model")
_ATTRIBUTES = (*_TOKEN_ATTRIBUTES, "object", "id", "type")
# python-pkcs11 does not ask the module to lock (CKF_OS_LOCKING_OK), so calls must not overlap in a process.
_ONE_CALL = threading.Lock()
_HINT = 'A key is named as in "pkcs11:token=TOKEN;object=LABEL" (RFC 7512).'


@dataclass(frozen=True, kw_only=True)
class Pkcs11Uri:
    """What of RFC 7512 names a private key. Empty is anything; ``id`` is CKA_ID."""

    token: str = ""
    manufacturer: str = ""
    serial: str = ""
    model: str = ""
    object: str = ""
    id: bytes = b""
    module_path: str = ""
    pin_source: Path | None = None
    """A file with the PIN in its first line."""

    @classmethod
    def parse(cls, text: str) -> Pkcs11Uri:
        """Raises ``UsageError``; also for a PIN in the URI, which others could read, and for a command."""
        if len(text) > _MAX_URI or not text.startswith(SCHEME) or _BAD_ESCAPE.search(text):
            raise UsageError("this is no PKCS#11 URI", hint=_HINT)
        path, _, query = text.removeprefix(SCHEME).partition("?")
        attributes = _pairs(path, ";")
        for name in attributes.keys() - set(_ATTRIBUTES):
            raise UsageError(f"PKCS#11 URI: the attribute {name[:40]!r} is not supported", hint=_HINT)
        options = _pairs(query, "&")
        if "pin-value" in options:
            raise UsageError(
                "PKCS#11 URI: a PIN does not belong into it",
                hint="Write pin-source=file:/PATH, or use --passphrase-file, -env or -fd.",
            )
        for name in options.keys() - {"module-path", "pin-source"}:
            raise UsageError(f"PKCS#11 URI: the option {name[:40]!r} is not supported", hint=_HINT)
        if attributes.pop("type", b"private") != b"private":
            raise UsageError("PKCS#11 URI: the type must be private", hint=_HINT)
        if not attributes.keys() & {"object", "id"}:
            raise UsageError("PKCS#11 URI: it names no key, neither by object nor by id", hint=_HINT)
        key_id = attributes.pop("id", b"")
        try:
            texts = {name: value.decode() for name, value in attributes.items()}
            module_path = options.get("module-path", b"").decode()
            pin_source = options["pin-source"].decode() if "pin-source" in options else None
        except UnicodeDecodeError as error:
            raise UsageError("PKCS#11 URI: a value is not UTF-8", hint=_HINT) from error
        return cls(**texts, id=key_id, module_path=module_path, pin_source=_pin_source(pin_source))

    def __str__(self) -> str:
        """For people."""
        names = [f"token {self.token!r}"] if self.token else []
        names += [f"object {self.object!r}"] if self.object else []
        names += [f"id {self.id.hex()}"] if self.id else []
        return f"PKCS#11 key ({', '.join(names)})"


def _pin_source(text: str | None) -> Path | None:
    """RFC 7512, section 2.4: a file, as path or as file: URI. Its commands and other URIs are refused."""
    if text is None:
        return None
    path = Path(text.removeprefix("file://").removeprefix("file:"))
    if not path.is_absolute() or "\0" in text:
        raise UsageError("PKCS#11 URI: pin-source must be file:/PATH", hint=_HINT)
    return path


def _pairs(text: str, separator: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for pair in filter(None, text.split(separator)):
        name, equals, value = pair.partition("=")
        if not equals or name in found:
            raise UsageError(f"PKCS#11 URI: {name[:40]!r} has no value, or two", hint=_HINT)
        found[name] = unquote_to_bytes(value)
    return found


class TokenKey:
    """A private key in a token. Threads take turns; a session that broke is opened anew once."""

    def __init__(
        self,
        uri: Pkcs11Uri,
        pin: Callable[[], bytes] | None = None,
        *,
        kinds: tuple[str, ...] = ("RSA",),
        module: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """``pin`` is asked once, and only if the token wants a login and the URI names no source of it.
        ``module`` is the path of the PKCS#11 library; else it is in the URI or in ENCLAVIZE_PKCS11_MODULE.
        ``kinds`` are names of ``pkcs11.KeyType``.

        Raises ``UsageError`` if module, token or key are not there, ``SigningRefusedError`` for a wrong PIN.
        """
        self._uri = uri
        self._pin = _pin_reader(uri, pin)
        self._known_pin: bytes | None = None
        self._kinds = kinds
        self._module = module or uri.module_path or environ.get(MODULE_VARIABLE, "")
        with _ONE_CALL, _token_errors(uri):
            self._session, self._key = self._open()

    def sign(self, data: bytes, mechanism: str) -> bytes:
        """Let the token sign; ``mechanism`` is a name of ``pkcs11.Mechanism``.

        Raises ``SigningRefusedError`` if it does not.
        """
        from pkcs11 import Mechanism, PKCS11Error

        def sign() -> bytes:
            return bytes(self._key.sign(data, mechanism=Mechanism[mechanism]))

        with _ONE_CALL, _token_errors(self._uri):
            try:
                return sign()
            except PKCS11Error:
                self._session, self._key = self._open()
                return sign()

    def public(self, read: Callable[[Any], T]) -> T:
        """What ``read`` finds in the private key's own attributes, or where a token does not show them, in
        those of its public half. Raises ``SigningRefusedError``.
        """
        with _ONE_CALL, _token_errors(self._uri):
            return _from_halves(self._session, self._key, self._uri, read)

    def close(self) -> None:
        """Log out."""
        with _ONE_CALL, _token_errors(self._uri):
            self._session.close()

    def _open(self) -> tuple[Session, Any]:
        from pkcs11 import Attribute, KeyType, ObjectClass

        token = _find_token(self._module, self._uri)
        session = _login(token, self._pin_for(token))
        wanted: dict[Attribute, Any] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
        if self._uri.object:
            wanted[Attribute.LABEL] = self._uri.object
        if self._uri.id:
            wanted[Attribute.ID] = self._uri.id
        keys: list[Any] = []
        for kind in self._kinds:
            keys += session.get_objects({**wanted, Attribute.KEY_TYPE: KeyType[kind]})
        if len(keys) != 1:
            count, kinds = "several" if keys else "no", " or ".join(self._kinds)
            found = f"{count} private {kinds} key{'s' if keys else ''}"
            raise UsageError(f"{self._uri}: the token has {found} of this name", hint=_HINT)
        return session, keys[0]

    def _pin_for(self, token: Token) -> bytes | None:
        from pkcs11 import TokenFlag

        if self._known_pin is None and TokenFlag.LOGIN_REQUIRED in token.flags:
            if self._pin is None:
                raise UsageError(f"{self._uri}: the token wants a PIN, and none was given")
            self._known_pin = self._pin()
        return self._known_pin


class Pkcs11Signer:
    """Signs with CKM_SHA256_RSA_PKCS."""

    def __init__(
        self,
        uri: Pkcs11Uri,
        pin: Callable[[], bytes] | None = None,
        *,
        module: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Raises as ``TokenKey``, and ``SigningRefusedError`` for a key that SGX does not take."""
        self._key = TokenKey(uri, pin, module=module, environ=environ)
        self._public_key = self._key.public(rsa_public_key)
        check_sgx_key(self._public_key, str(uri))

    @property
    def public_key(self) -> RSAPublicKey:
        return self._public_key

    def sign(self, material: SigningMaterial) -> bytes:
        """Raises ``SigningRefusedError`` if the token does not sign."""
        return self._key.sign(material.header_and_body, "SHA256_RSA_PKCS")

    def sign_image(self, name: str, digest: str) -> bytes:
        """Raises ``SigningRefusedError`` if the token does not sign, ``UsageError`` for no name or digest."""
        return self._key.sign(build_payload(name, digest), "SHA256_RSA_PKCS")

    def close(self) -> None:
        """Log out."""
        self._key.close()


def _pin_reader(uri: Pkcs11Uri, pin: Callable[[], bytes] | None) -> Callable[[], bytes] | None:
    source = uri.pin_source
    return (lambda: read_secret(source, "PIN")) if source else pin


def _login(token: Token, pin: bytes | None, *, rw: bool = False) -> Session:
    """Logins are the process's, not the session's: another signer may have logged in to this token."""
    from pkcs11 import UserAlreadyLoggedIn

    try:
        return token.open(rw=rw, user_pin=pin.decode() if pin is not None else None)
    except UnicodeDecodeError as error:
        raise SigningRefusedError("the PIN is wrong: it is not UTF-8") from error
    except UserAlreadyLoggedIn:
        return token.open(rw=rw)


def generate_pkcs11_key(
    uri: Pkcs11Uri,
    pin: Callable[[], bytes] | None = None,
    *,
    module: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> RSAPublicKey:
    """Makes a key in a token, RSA-3072 with exponent 3, which the usual tools for tokens do not offer.

    It is sensitive and cannot be extracted. Raises ``UsageError`` if there is one of this name.
    """
    from pkcs11 import Attribute, KeyType, ObjectClass

    if not uri.object:
        raise UsageError("PKCS#11 URI: a new key needs a name, object=LABEL", hint=_HINT)
    pin = _pin_reader(uri, pin)
    if pin is None:
        raise UsageError(f"{uri}: the token wants a PIN, and none was given")
    key_id = uri.id or os.urandom(8)
    with _ONE_CALL, _token_errors(uri):
        token = _find_token(module or uri.module_path or environ.get(MODULE_VARIABLE, ""), uri)
        with _login(token, pin(), rw=True) as session:
            existing = session.get_objects(
                {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: uri.object}
            )
            if list(existing):
                raise UsageError(f"{uri} exists; a key is never overwritten")
            _, key = session.generate_keypair(
                KeyType.RSA,
                RSA_KEY_BITS,
                id=key_id,
                label=uri.object,
                store=True,
                public_template={Attribute.PUBLIC_EXPONENT: bytes([RSA_EXPONENT])},
                private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
            )
            return _from_halves(session, key, uri, rsa_public_key)


def _find_token(module: str, uri: Pkcs11Uri) -> Token:
    if not module:
        raise UsageError(
            f"{uri}: no PKCS#11 module is named",
            hint=f"Set {MODULE_VARIABLE}, or write ?module-path=/path/of/module.so behind the URI.",
        )
    pkcs11 = _pkcs11()
    try:
        library = pkcs11.lib(module)
    except (RuntimeError, pkcs11.PKCS11Error) as error:
        raise UsageError(f"{module} cannot be loaded as a PKCS#11 module: {error}") from error
    tokens: list[Token] = [slot.get_token() for slot in library.get_slots(token_present=True)]
    tokens = [token for token in tokens if pkcs11.TokenFlag.TOKEN_INITIALIZED in token.flags]
    found = [token for token in tokens if _is_wanted(token, uri)]
    if len(found) != 1:
        labels = ", ".join(repr(token.label) for token in tokens) or "none"
        count = "several tokens have" if found else "no token has"
        raise UsageError(f"{uri}: {count} this name", hint=f"There are: {labels}.")
    return found[0]


def _pkcs11() -> ModuleType:
    """Return python-pkcs11, which is an optional extra."""
    try:
        import pkcs11
    except ImportError as error:
        raise UsageError(
            "keys in PKCS#11 tokens need python-pkcs11", hint='pip install "enclavize[pkcs11]"'
        ) from error
    return pkcs11


def _is_wanted(token: Token, uri: Pkcs11Uri) -> bool:
    has = {
        "token": token.label,
        "manufacturer": token.manufacturer_id,
        "serial": token.serial.decode(errors="replace").strip(),
        "model": token.model,
    }
    return all(getattr(uri, name) in ("", has[name]) for name in _TOKEN_ATTRIBUTES)


def rsa_public_key(half: Any) -> RSAPublicKey:
    """The key that the attributes of one of its halves describe."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
    from pkcs11 import Attribute

    modulus, exponent = half[Attribute.MODULUS], half[Attribute.PUBLIC_EXPONENT]
    return RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")).public_key()


def _from_halves(session: Session, key: Any, uri: Pkcs11Uri, read: Callable[[Any], T]) -> T:
    from pkcs11 import Attribute, ObjectClass, PKCS11Error

    halves: list[Any] = [key]
    halves += session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: key[Attribute.ID]})
    for half in halves:
        try:
            return read(half)
        except (PKCS11Error, ValueError):
            continue
    raise SigningRefusedError(f"{uri}: the token does not tell its public key")


@contextmanager
def _token_errors(uri: Pkcs11Uri) -> Iterator[None]:
    pkcs11 = _pkcs11()
    try:
        yield
    except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange) as error:
        raise SigningRefusedError(
            f"{uri}: the PIN is wrong", hint="Tokens lock themselves after a few wrong PINs."
        ) from error
    except pkcs11.PinLocked as error:
        raise SigningRefusedError(f"{uri}: the PIN is locked") from error
    except pkcs11.PKCS11Error as error:
        reason = str(error) or type(error).__name__
        raise SigningRefusedError(f"{uri}: the token refuses: {reason}") from error
