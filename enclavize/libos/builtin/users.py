"""Who ``USER`` is, looked up in the image's own /etc/passwd and /etc/group as container engines do.

Source of the rules: GetExecUser in github.com/moby/sys/user. A number needs no entry, a name does. Further
groups come from /etc/group only where the user is found in /etc/passwd and no group is given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from enclavize.errors import IncompatibleImageError, InvalidImageError
from enclavize.libos.builtin.config import User
from enclavize.rootfs.entry import FileType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.oci.image_config import ImageConfig
    from enclavize.rootfs.tree import Rootfs

MAX_ID = (1 << 31) - 1
DEFAULT_HOME = "/"


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user with its home directory."""

    user: User
    home: str


def account_of(rootfs: Rootfs, config: ImageConfig) -> Account:
    """Return who the image runs as, by its own user database. Raises InvalidImageError."""
    return find_account(config.user, content_of(rootfs, "etc/passwd"), content_of(rootfs, "etc/group"))


def content_of(rootfs: Rootfs, path: str) -> bytes:
    """Return a well-known small file, b"" if it is not there."""
    entry = rootfs.find(path)
    if entry is None or entry.type is not FileType.REGULAR or not entry.size:
        return b""
    content = rootfs.content(entry)
    if content is None:
        raise IncompatibleImageError(f"/{path} of the image is too large ({entry.size} bytes)")
    return content


def find_account(text: str, passwd: bytes, group: bytes) -> Account:
    """Resolve ``[USER][:GROUP]``; both files may be empty. Raises InvalidImageError."""
    user_text, _, group_text = text.partition(":")
    wanted_uid = _number(user_text) if user_text else 0
    uid, gid, home, name = wanted_uid, 0, DEFAULT_HOME, ""
    for fields in _records(passwd, 7):
        entry_uid, entry_gid = _number(fields[2]), _number(fields[3])
        if entry_uid is None or entry_gid is None:
            continue
        if entry_uid == wanted_uid if wanted_uid is not None else fields[0] == user_text:
            uid, gid, home, name = entry_uid, entry_gid, fields[5] or DEFAULT_HOME, fields[0]
            break
    if uid is None:
        raise InvalidImageError(
            f"the image is to run as user {user_text!r}, which its /etc/passwd does not list",
            hint="add the user to the image, or give USER a number",
        )
    groups: tuple[int, ...] = ()
    if group_text:
        gid = _find_group(group_text, group)
    elif name:
        groups = tuple(
            number
            for fields in _records(group, 4)
            if name in fields[3].split(",") and (number := _number(fields[2])) is not None
        )
    for number in (uid, gid, *groups):
        if number > MAX_ID:
            raise InvalidImageError(
                f"the user {text!r} of the image: ids go from 0 to {MAX_ID}, not {number}"
            )
    if "\0" in home:
        raise InvalidImageError(f"the user {text!r} of the image: its home in /etc/passwd has a NUL")
    return Account(user=User(uid=uid, gid=gid, groups=groups), home=home)


def _find_group(text: str, group: bytes) -> int:
    wanted = _number(text)
    for fields in _records(group, 3):
        number = _number(fields[2])
        if number is not None and (number == wanted if wanted is not None else fields[0] == text):
            return number
    if wanted is None:
        raise InvalidImageError(
            f"the image is to run as group {text!r}, which its /etc/group does not list",
            hint="add the group to the image, or give USER numbers",
        )
    return wanted


def _records(data: bytes, count: int) -> Iterator[list[str]]:
    """Yield the fields of each line, padded to ``count``; comments and empty lines are left out."""
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        text = line.strip()
        if text and not text.startswith("#"):
            fields = text.split(":")
            yield fields + [""] * (count - len(fields))


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None
