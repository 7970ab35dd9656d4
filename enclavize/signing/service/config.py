"""``signer.toml``: where to listen, keys, clients and their policies. Unknown names are errors."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from enclavize.errors import UsageError
from enclavize.sgx.structures import AttributeFlags, MiscSelect, Xfrm
from enclavize.signing.service.image_policy import ImagePolicy, is_pattern
from enclavize.signing.service.policy import DEFAULT_XFRM, MAX_SVN, NO_ID, SigningPolicy
from enclavize.signing.signers import is_file
from enclavize.toml_file import read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from enum import IntFlag
    from pathlib import Path

MAX_CONFIG_SIZE = 4 << 20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")
_ANY_TEXT = re.compile(r".*", re.DOTALL)
_LISTEN = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9A-Za-z.-]+)):(?P<port>\d{1,5})")
_ID = re.compile(r"[0-9a-f]{32}")
_GRANTABLE_ATTRIBUTES = (
    AttributeFlags.DEBUG, AttributeFlags.PROVISIONKEY, AttributeFlags.EINITTOKENKEY, AttributeFlags.KSS,
)  # fmt: skip
_GRANTABLE_XFRM = (Xfrm.AVX, Xfrm.MPX, Xfrm.AVX512, Xfrm.PKRU, Xfrm.AMX)
_ANY_MISC_SELECT = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True)
class KeyConfig:
    """``reference`` as ``signers.open_signer`` takes it. ``secret_file`` has its passphrase or PIN."""

    name: str
    reference: str
    secret_file: Path | None


@dataclass(frozen=True, kw_only=True)
class Client:
    """Who may sign, with which one key. Hashes are SHA-256 in hex: of bearer tokens, of DER certificates.

    Of each kind that is there, one must be presented. ``token_expiry``: when tokens end, by their hashes.
    """

    name: str
    key: str
    token_hashes: frozenset[str]
    certificate_hashes: frozenset[str]
    policy: SigningPolicy
    requests_per_minute: int
    images: ImagePolicy = field(default_factory=ImagePolicy)
    token_expiry: Mapping[str, dt.datetime] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    host: str
    port: int
    certificate: Path
    private_key: Path
    client_ca: Path | None
    max_connections: int
    request_timeout: int  # seconds for a whole request to arrive
    audit_log: Path
    keys: dict[str, KeyConfig]
    clients: tuple[Client, ...]


def load_config(path: Path) -> ServiceConfig:
    """Raises ``UsageError`` naming what is wrong and where. Paths are relative to the file's folder."""
    document = read_toml(path, "configuration", MAX_CONFIG_SIZE)
    return _parse(_Table(str(path), document), path.resolve().parent)


class _Table:
    """One table; what was not asked for in the end is unknown."""

    def __init__(self, where: str, values: dict[str, Any]) -> None:
        self.where = where
        self._left = dict(values)

    def take(self, name: str, kind: type, what: str, default: Any = ...) -> Any:
        value = self._left.pop(name, default)
        if value is ...:
            raise UsageError(f"{self.where}: {name} is missing")
        if value is not default and (not isinstance(value, kind) or isinstance(value, bool)):
            raise self.wrong(name, what)
        return value

    def text(self, name: str, default: Any = ...) -> Any:
        return self.take(name, str, "a text", default)

    def number(self, name: str, maximum: int, default: Any = ..., minimum: int = 0) -> Any:
        value = self.take(name, int, "a number", default)
        if not minimum <= value <= maximum:
            raise self.wrong(name, f"from {minimum} to {maximum}")
        return value

    def texts(self, name: str, pattern: re.Pattern[str], what: str, default: Any = ...) -> frozenset[str]:
        values = self.take(name, list, f"a list of {what}", default)
        if not all(isinstance(value, str) and pattern.fullmatch(value) for value in values):
            raise self.wrong(name, f"a list of {what}")
        return frozenset(values)

    def numbers(self, name: str, maximum: int, default: Any = ...) -> frozenset[int]:
        values = self.take(name, list, "a list of numbers", default)
        if not all(type(value) is int and 0 <= value <= maximum for value in values):
            raise self.wrong(name, f"a list of numbers up to {maximum}")
        return frozenset(values)

    def ids(self, name: str) -> frozenset[bytes] | None:
        """128-bit numbers in the order of their bytes, by default zero; None for any."""
        if self.is_any(name):
            return None
        found = self.texts(name, _ID, 'numbers of 32 hex digits, or "any"', [NO_ID.hex()])
        return frozenset(map(bytes.fromhex, found))

    def bits(self, name: str, choices: Sequence[IntFlag], default: int) -> int:
        """A list of names, as one number."""
        by_name = {str(flag.name): int(flag) for flag in choices}
        usual = [flag for flag, bit in by_name.items() if bit & default]
        found = self.texts(name, re.compile("|".join(by_name)), " or ".join(by_name), usual)
        return sum(by_name[flag] for flag in found)

    def is_any(self, name: str) -> bool:
        """Takes the word "any", if it is there instead of a list."""
        found = self._left.get(name) == "any"
        if found:
            del self._left[name]
        return found

    def table(self, name: str) -> _Table:
        return _Table(f"{self.where}: {name}", self.take(name, dict, "a table"))

    def tables(self) -> list[tuple[str, _Table]]:
        """All that is left, as named tables."""
        found = []
        for name in list(self._left):
            if not _NAME.fullmatch(name):
                raise UsageError(f"{self.where}: {name[:80]!r} is no name")
            found.append((name, self.table(name)))
        return found

    def wrong(self, name: str, what: str) -> UsageError:
        return UsageError(f"{self.where}: {name} must be {what}")

    def finish(self) -> None:
        for name in self._left:
            raise UsageError(f"{self.where}: {name[:80]!r} is unknown")


def _parse(root: _Table, folder: Path) -> ServiceConfig:
    server, audit, keys, clients = (root.table(name) for name in ("server", "audit", "keys", "clients"))
    root.finish()
    listen = _LISTEN.fullmatch(server.text("listen"))
    if not listen or int(listen["port"]) > 0xFFFF:
        raise server.wrong("listen", "an address and a port: 127.0.0.1:9443, [::]:9443")
    client_ca = server.text("client_ca", None)
    config = ServiceConfig(
        host=listen["v6"] or listen["v4"],
        port=int(listen["port"]),
        certificate=folder / server.text("certificate"),
        private_key=folder / server.text("private_key"),
        client_ca=folder / client_ca if client_ca is not None else None,
        max_connections=server.number("max_connections", 10_000, 256, minimum=1),
        request_timeout=server.number("request_timeout", 600, 10, minimum=1),
        audit_log=folder / audit.text("path"),
        keys={name: _key(name, table, folder) for name, table in keys.tables()},
        clients=tuple(_client(name, table) for name, table in clients.tables()),
    )
    server.finish()
    audit.finish()
    _check_clients(config, clients.where)
    return config


def _key(name: str, table: _Table, folder: Path) -> KeyConfig:
    reference = table.text("key")
    secret = table.text("passphrase_file", None)
    table.finish()
    return KeyConfig(
        name=name,
        reference=str(folder / reference) if is_file(reference) else reference,
        secret_file=folder / secret if secret is not None else None,
    )


def _client(name: str, table: _Table) -> Client:
    any_image = table.is_any("images")
    any_measurement, any_product = table.is_any("measurements"), table.is_any("product_ids")
    any_misc_select = table.is_any("misc_select")
    hashes = "SHA-256 hashes in hex"
    tokens = _tokens(table)
    client = Client(
        name=name,
        key=table.text("key"),
        token_hashes=frozenset(tokens),
        token_expiry={token: end for token, end in tokens.items() if end},
        certificate_hashes=table.texts("certificate_sha256", _HASH, hashes, []),
        policy=SigningPolicy(
            measurements=None
            if any_measurement
            else frozenset(map(bytes.fromhex, table.texts("measurements", _HASH, f'{hashes}, or "any"'))),
            product_ids=None if any_product else table.numbers("product_ids", 0xFFFF),
            family_ids=table.ids("family_ids"),
            extended_product_ids=table.ids("extended_product_ids"),
            min_svn=table.number("min_svn", MAX_SVN, 0),
            max_svn=table.number("max_svn", MAX_SVN, MAX_SVN),
            attributes=table.bits("attributes", _GRANTABLE_ATTRIBUTES, 0),
            xfrm=table.bits("xfrm", _GRANTABLE_XFRM, DEFAULT_XFRM),
            misc_select=_ANY_MISC_SELECT
            if any_misc_select
            else table.bits("misc_select", tuple(MiscSelect), MiscSelect.EXINFO),
            vendors=table.numbers("vendors", 0xFFFFFFFF, [0]),
            hw_versions=table.numbers("hw_versions", 0xFFFFFFFF, [0]),
        ),
        requests_per_minute=table.number("requests_per_minute", 1_000_000, 60, minimum=1),
        images=ImagePolicy(names=None if any_image else _image_names(table)),
    )
    table.finish()
    if client.policy.min_svn > client.policy.max_svn:
        raise table.wrong("max_svn", f"at least min_svn, which is {client.policy.min_svn}")
    return client


def _tokens(table: _Table) -> dict[str, dt.datetime | None]:
    """Return when each token ends: ``"HASH"``, or ``{ sha256 = "HASH", expires = 2027-01-01T00:00:00Z }``."""
    what = "a list of SHA-256 hashes in hex, or of { sha256 = HASH, expires = DATE }"
    found: dict[str, dt.datetime | None] = {}
    for item in table.take("token_sha256", list, what, []):
        end = None
        match item:
            case str(token):
                pass
            case {"sha256": str(token), "expires": dt.datetime() as date, **others} if not others:
                if date.tzinfo is None:
                    raise table.wrong("token_sha256", "with a time zone where a token expires, such as Z")
                end = date
            case _:
                raise table.wrong("token_sha256", what)
        if not _HASH.fullmatch(token) or token in found:
            raise table.wrong("token_sha256", f"{what}, each once")
        found[token] = end
    return found


def _image_names(table: _Table) -> frozenset[str]:
    what = 'image names, such as "registry.example/team/app" or "registry.example/team/*", or "any"'
    names = table.texts("images", _ANY_TEXT, what, [])
    if not all(map(is_pattern, names)):
        raise table.wrong("images", f"a list of {what}")
    return names


def _check_clients(config: ServiceConfig, where: str) -> None:
    tokens: dict[str, str] = {}
    for client in config.clients:
        if client.key not in config.keys:
            raise UsageError(f"{where}: {client.name}: there is no key {client.key!r}")
        if not client.token_hashes and not client.certificate_hashes:
            raise UsageError(
                f"{where}: {client.name} needs token_sha256 or certificate_sha256, or both",
                hint="Make a token with: enclavize signer token",
            )
        if client.certificate_hashes and config.client_ca is None:
            raise UsageError(f"{where}: {client.name} has certificates, and server: client_ca is missing")
        credentials = [*client.token_hashes]
        if not client.token_hashes:
            credentials += client.certificate_hashes
        for credential in credentials:
            if other := tokens.get(credential):
                raise UsageError(f"{where}: {client.name} and {other} have the same token or certificate")
            tokens[credential] = client.name
        _check_isolation(client, config, where)


def _check_isolation(client: Client, config: ServiceConfig, where: str) -> None:
    """Who may sign any measurement could else sign as another client: with its key and its product id.

    And who may sign any image, with its key and the names of its images.
    """
    others = [other for other in config.clients if other is not client and other.key == client.key]
    if client.images.names is None and any(other.images.allows_any for other in others):
        raise UsageError(
            f"{where}: {client.name} may sign images of any name and shares the key {client.key!r} "
            "with others who sign images: it needs a key of its own, or names"
        )
    if client.policy.measurements is not None or not others:
        return
    own = client.policy.product_ids
    if own is None or len(own) != 1:
        raise UsageError(
            f"{where}: {client.name} may sign any measurement and shares the key {client.key!r}: "
            "it needs a key of its own, or exactly one product id"
        )
    if client.policy.attributes & AttributeFlags.KSS:
        # KEYPOLICY.NOISVPRODID (SDM 3D, EGETKEY): keys that all enclaves of the signer share.
        raise UsageError(
            f"{where}: {client.name} may sign any measurement and shares the key {client.key!r}: "
            "it must not have KSS, which derives keys without the product id"
        )
    for other in others:
        if other.policy.product_ids is None or own & other.policy.product_ids:
            raise UsageError(
                f"{where}: {client.name} may sign any measurement: {other.name}, who shares its key, "
                f"must not have its product id {min(own)}"
            )
