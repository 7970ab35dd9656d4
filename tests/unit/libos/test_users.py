"""USER is looked up as container engines look it up."""

import pytest

from enclavize.errors import InvalidImageError
from enclavize.libos.builtin.users import find_account

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
# a comment

app:x:7:8:App:/home/app:/bin/sh
short:x:9:10
odd:x:what:8::/
12:x:13:14::/twelve:/bin/sh
"""
GROUP = b"root:x:0:\nstaff:x:50:app,root\nweb:x:51:other,app\nbad:x:no:app\n"


@pytest.mark.parametrize(
    ("text", "uid", "gid", "groups", "home"),
    [
        ("", 0, 0, (50,), "/root"),
        ("root", 0, 0, (50,), "/root"),
        ("app", 7, 8, (50, 51), "/home/app"),
        ("7", 7, 8, (50, 51), "/home/app"),
        ("app:web", 7, 51, (), "/home/app"),
        ("app:99", 7, 99, (), "/home/app"),
        ("7:0", 7, 0, (), "/home/app"),
        ("1234", 1234, 0, (), "/"),
        ("1234:5", 1234, 5, (), "/"),
        (":web", 0, 51, (), "/root"),
        ("short", 9, 10, (), "/"),
        ("12", 12, 0, (), "/"),
    ],
)
def test_users_are_found(text: str, uid: int, gid: int, groups: tuple[int, ...], home: str) -> None:
    account = find_account(text, PASSWD, GROUP)
    assert (account.user.uid, account.user.gid, account.user.groups, account.home) == (uid, gid, groups, home)


def test_an_image_without_user_database_runs_numbers_only() -> None:
    assert find_account("5:6", b"", b"").user.gid == 6
    assert find_account("", b"", b"").home == "/"
    with pytest.raises(InvalidImageError, match="does not list"):
        find_account("app", b"", b"")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nobody", "'nobody'"),
        ("odd", "'odd'"),
        ("app:none", "'none'"),
        ("4294967295", "0 to"),
        ("1:4294967295", "0 to"),
    ],
)
def test_unknown_users_and_ids_out_of_range_are_refused(text: str, word: str) -> None:
    with pytest.raises(InvalidImageError, match=word):
        find_account(text, PASSWD, GROUP)


@pytest.mark.parametrize(
    ("passwd", "group", "word"),
    [
        (PASSWD, b"big:x:4294967296:root\n", "0 to 2147483647, not 4294967296"),
        (PASSWD, b"big:x:999999999999:a,root\n", "0 to"),
        (b"root:x:0:0::/a\0b:/bin/sh\n", b"", "has a NUL"),
    ],
)
def test_what_no_process_could_have_is_refused(passwd: bytes, group: bytes, word: str) -> None:
    with pytest.raises(InvalidImageError, match=word):
        find_account("root", passwd, group)
