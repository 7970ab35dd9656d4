"""Who we are at a registry: docker's configuration file and its credential helpers.

The rules are those of docker/cli (cli/config): a helper for this registry comes first, then the general
store, then what is written in the file. oras-py reads one of the forms only, and knows neither DOCKER_CONFIG
nor identity tokens; the helper protocol itself is left to the docker SDK.
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
    from collections.abc import Mapping

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""What docker calls the hub in its configuration, for historic reasons."""

TOKEN_USER = "<token>"  # noqa: S105 - it marks secrets, and is none
"""The user name with which a helper says that its secret is an identity token."""

MAX_FILE_SIZE = 4 << 20

_FILE_SHAPE = Shape(
    names="credsStore credHelpers",
    maps={"auths": Shape(names="username password auth email serveraddress identitytoken registrytoken")},
)
"""docker/cli, cli/config/configfile/file.go and cli/config/types/authconfig.go."""


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A user name and password, or an identity token (OAuth2 refresh token). Never shown."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


ANONYMOUS = Credential()


class Credentials:
    """The credentials of one docker configuration. Raises AuthenticationError where it cannot be used."""

    def __init__(self, configuration: Mapping[str, Any], what: str = "docker's configuration") -> None:
        self._configuration = Document(configuration, what)

    @classmethod
    def load(cls) -> Credentials:
        """Read ``config.json`` in DOCKER_CONFIG or ~/.docker; no file means no credentials."""
        folder = os.environ.get("DOCKER_CONFIG")
        path = (Path(folder) if folder else Path.home() / ".docker") / "config.json"
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_FILE_SIZE)
        except FileNotFoundError:
            return cls({})
        except OSError as error:
            raise AuthenticationError(f"cannot read {path}: {error.strerror}") from error
        try:
            return cls(parse_document(data, str(path), _FILE_SHAPE).members, str(path))
        except InvalidImageError as error:
            raise AuthenticationError(str(error)) from error

    def for_registry(self, registry: str) -> Credential:
        """Return the credential for a registry, or ANONYMOUS."""
        try:
            key = DOCKER_HUB_KEY if registry == DOCKER_HUB else registry
            helper = self._configuration.text_map("credHelpers").get(registry)
            helper = helper or self._configuration.text("credsStore")
            if helper and (credential := _ask_helper(helper, key)):
                return credential
            return self._from_file(registry)
        except InvalidImageError as error:
            raise AuthenticationError(str(error)) from error

    def _from_file(self, registry: str) -> Credential:
        entries = self._configuration.document("auths") or Document({}, "")
        exact = [key for key in entries.members if key == registry]
        for key in exact or [key for key in entries.members if _host_of_key(key) == registry]:
            if entry := entries.document(key):
                return _parse_entry(entry)
        return ANONYMOUS


def _host_of_key(key: str) -> str:
    """Reduce ``https://host/v1/`` and its kin to the host."""
    host = key.partition("://")[2] or key
    host = host.partition("/")[0]
    return DOCKER_HUB if host in (f"index.{DOCKER_HUB}", f"registry-1.{DOCKER_HUB}") else host


def _parse_entry(entry: Document) -> Credential:
    username, password = entry.text("username"), entry.text("password")
    if encoded := entry.text("auth"):
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
    except (StoreError, ValueError) as error:
        raise AuthenticationError(
            f"the credential helper {program} failed for {key}", hint=f"try: echo {key} | {program} get"
        ) from error
    username, secret = str(answer.get("Username", "")), str(answer.get("Secret", ""))
    if username == TOKEN_USER:
        return Credential(identity_token=secret)
    return Credential(username=username, password=secret) if username or secret else None
