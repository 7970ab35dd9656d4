"""Who we are at a registry: docker's configuration file and its credential helpers.

The rules are those of docker/cli (cli/config): first comes DOCKER_AUTH_CONFIG, then a helper for this
registry or else the general store, then what is written in the file. oras-py reads one of the forms only, and
knows neither DOCKER_CONFIG nor identity tokens; the helper protocol itself is left to the docker SDK.
"""

from __future__ import annotations

import base64
import binascii
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclavize.errors import AuthenticationError, InvalidImageError
from enclavize.oci.document import Document, parse_document
from enclavize.oci.reference import DOCKER_HUB
from enclavize.oci.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""What docker calls the hub in its configuration, for historic reasons."""

_HUB_SECRETS = ("/access-token", "/refresh-token")
"""Ends of keys under which docker keeps secrets for the hub's web interface, which registries do not take."""

TOKEN_USER = "<token>"  # noqa: S105 - it marks secrets, and is none
"""The user name with which a helper says that its secret is an identity token."""

AUTH_CONFIG_VARIABLE = "DOCKER_AUTH_CONFIG"
"""Environment variable with the member ``auths`` of such a file: docker 28, and CI systems before it."""

MAX_FILE_SIZE = 4 << 20

_FILE_SHAPE = Shape(
    names="credsStore credHelpers",
    maps={"auths": Shape(names="username password auth email serveraddress identitytoken registrytoken")},
)
"""docker/cli, cli/config/configfile/file.go and cli/config/types/authconfig.go."""


_LINE_ENDS = dict.fromkeys(map(ord, "\r\n"))
"""What Go's encoding/base64 passes over; base64(1) makes lines of 76 letters."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A user name and password, or an identity token (OAuth2 refresh token). Never shown."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


ANONYMOUS = Credential()


class Credentials:
    """The credentials of one docker configuration. Raises AuthenticationError where it cannot be used.

    ``environment`` is what DOCKER_AUTH_CONFIG holds.
    """

    def __init__(
        self,
        configuration: Mapping[str, Any],
        what: str = "docker's configuration",
        *,
        environment: Document | None = None,
    ) -> None:
        self._configuration = Document(configuration, what)
        self._environment = environment

    @classmethod
    def load(cls) -> Credentials:
        """Read DOCKER_AUTH_CONFIG, and ``config.json`` in DOCKER_CONFIG or ~/.docker, if they are there."""
        environment = None
        if text := os.environ.get(AUTH_CONFIG_VARIABLE):
            environment = _parse(text.encode("utf-8", "surrogateescape"), AUTH_CONFIG_VARIABLE)
        folder = os.environ.get("DOCKER_CONFIG")
        path = (Path(folder) if folder else Path.home() / ".docker") / "config.json"
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_FILE_SIZE)
        except FileNotFoundError:
            return cls({}, environment=environment)
        except OSError as error:
            raise AuthenticationError(f"cannot read {path}: {error.strerror}") from error
        return cls(_parse(data, str(path)).members, str(path), environment=environment)

    def for_registry(self, registry: str) -> Credential:
        """Return the credential for a registry, or ANONYMOUS."""
        try:
            if self._environment and (found := _find_entry(self._environment, registry)):
                return found
            helpers = self._configuration.text_map("credHelpers")
            helper = next((helpers[key] for key in _keys(helpers, registry)), "")
            helper = helper or self._configuration.text("credsStore")
            if helper and (credential := self._from_helper(helper, registry)):
                return credential
            return _find_entry(self._configuration, registry) or ANONYMOUS
        except InvalidImageError as error:
            raise AuthenticationError(str(error)) from error

    def _from_helper(self, helper: str, registry: str) -> Credential | None:
        """Ask a helper under docker's key of today, and those that ``docker login`` has noted in the file."""
        noted = self._configuration.document("auths") or Document({}, "")
        for key in dict.fromkeys((_own_key(registry), *_keys(noted.members, registry))):
            if credential := _ask_helper(helper, key):
                return credential
        return None


def _parse(data: bytes, what: str) -> Document:
    try:
        return parse_document(data, what, _FILE_SHAPE)
    except InvalidImageError as error:
        raise AuthenticationError(str(error)) from error


def _find_entry(configuration: Document, registry: str) -> Credential | None:
    entries = configuration.document("auths") or Document({}, "")
    for key in _keys(entries.members, registry):
        entry = entries.document(key)
        if entry and (credential := _parse_entry(entry)) != ANONYMOUS:
            return credential
    return None


def _own_key(registry: str) -> str:
    """Return what docker calls a registry."""
    return DOCKER_HUB_KEY if registry == DOCKER_HUB else registry


def _keys(found: Iterable[str], registry: str) -> list[str]:
    """Return the keys that mean a registry, docker's own first, then its name, then older forms."""
    keys = [key for key in found if _host_of_key(key) == registry and not key.endswith(_HUB_SECRETS)]
    return sorted(keys, key=lambda key: (key != _own_key(registry), key != registry))


def _host_of_key(key: str) -> str:
    """Reduce ``https://host/v1/`` and its kin to the host."""
    host = key.partition("://")[2] or key
    host = host.partition("/")[0]
    return DOCKER_HUB if host in (f"index.{DOCKER_HUB}", f"registry-1.{DOCKER_HUB}") else host


def _parse_entry(entry: Document) -> Credential:
    username, password = entry.text("username"), entry.text("password")
    if encoded := entry.text("auth"):
        encoded = encoded.translate(_LINE_ENDS)
        try:
            username, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise entry.wrong("auth", "base64 of user:password") from error
        if not colon:
            raise entry.wrong("auth", "base64 of user:password")
    return Credential(
        username=username, password=password.rstrip("\0"), identity_token=entry.text("identitytoken")
    )


def _ask_helper(helper: str, key: str) -> Credential | None:
    from docker.credentials import CredentialsNotFound, Store, StoreError

    program = f"docker-credential-{helper}"
    if not shutil.which(program):
        raise AuthenticationError(
            f"docker's configuration wants the credential helper {program}, which is not on the PATH",
            hint="install it, or correct docker's config.json",
        )
    try:
        answer: dict[str, object] = Store(helper).get(key)  # type: ignore[no-untyped-call]
    except CredentialsNotFound:
        return None
    # The SDK looks into whatever JSON the helper gave.
    except (StoreError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise AuthenticationError(
            f"the credential helper {program} failed for {key}", hint=f"try: echo {key} | {program} get"
        ) from error
    username, secret = str(answer.get("Username", "")), str(answer.get("Secret", ""))
    if username == TOKEN_USER:
        return Credential(identity_token=secret)
    return Credential(username=username, password=secret) if username or secret else None
