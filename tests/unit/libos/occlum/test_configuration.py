"""Occlum.json: every mistake has its own message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from enclavize.errors import UsageError
from enclavize.libos.occlum.configuration import check_configuration, parse_document
from enclavize.libos.occlum.versions import parse_release
from unit.libos.occlum.documents import document

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = (
    "0.21.0",
    "0.24.1",
    "0.26.1",
    "0.28.0",
    "0.29.4",
    "0.29.5",
    "0.29.7",
    "0.30.0",
    "0.30.1",
    "0.31.0",
)


def changed(path: str, value: object, version: str = "0.31.0") -> dict[str, Any]:
    """Return a document with one member set; None removes it."""
    made = document(version)
    *above, last = path.split("/")
    place: Any = made
    for name in above:
        place = place[int(name) if name.isdecimal() else name]
    if value is None:
        del place[last]
    else:
        place[int(last) if last.isdecimal() else last] = value
    return made


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_template_of_a_release_has_is_taken(version: str) -> None:
    made = check_configuration(document(version), parse_release(version))
    assert made.limits.user_space_init == 300 << 20
    assert made.limits.kernel_heap_init == 32 << 20
    assert made.limits.threads_init == 32
    assert not made.debuggable


@pytest.mark.parametrize("text", ["", "0.20.0", "0.18.1", "0.32.0", "1.0.0", "latest", "0.31"])
def test_instances_are_made_for_known_releases_alone(text: str) -> None:
    with pytest.raises(UsageError, match=r"version of Occlum|cannot be made"):
        parse_release(text)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("resource_limits", None, "resource_limits is missing"),
        ("resource_limits/user_space_size", None, "resource_limits.user_space_size is missing"),
        ("resource_limits/user_space_size", "300", "is '300': a size is a whole number with a unit"),
        ("resource_limits/user_space_size", "1.5GB", "is '1.5GB': a size is"),
        ("resource_limits/user_space_size", "300mb", "is '300mb': a size is"),
        ("resource_limits/user_space_size", 300, "is 300: a size is"),
        ("resource_limits/user_space_size", "0MB", "no size that an enclave can have"),
        ("resource_limits/user_space_size", "99999999TB", "no size that an enclave can have"),
        ("resource_limits/user_space_size", "4097B", "not a multiple of 4096 bytes"),
        ("resource_limits/user_space_size", "20MB", "no process could start"),
        (
            "resource_limits/user_space_max_size",
            "200MB",
            "user_space_size is 300MB, more than user_space_max",
        ),
        ("resource_limits/kernel_space_heap_size", "3KB", "kernel_space_heap_size is 3KB, not a multiple"),
        ("resource_limits/kernel_space_heap_max_size", "1MB", "kernel_space_heap_size is 32MB, more than"),
        ("resource_limits/kernel_space_stack_size", "4KB", "less than two pages"),
        ("resource_limits/max_num_of_threads", 0, "is 0, not between 2 and"),
        ("resource_limits/max_num_of_threads", True, "is True, not a whole number"),
        ("resource_limits/threads", 5, "resource_limits.threads is unknown"),
        ("process/default_heap_size", "x", "process.default_heap_size is 'x'"),
        ("process/default_mmap_size", None, "process.default_mmap_size is missing"),
        ("entry_points", [], "entry_points is empty"),
        ("entry_points", "/bin", "entry_points is not an array"),
        ("entry_points", ["bin"], r"entry_points\[0\] is 'bin', not an absolute path"),
        ("entry_points", ["/bin/../x"], r"entry_points\[0\] is '/bin/../x': Occlum refuses"),
        ("env/default", ["PATH"], r"env.default\[0\] is 'PATH', not of the form NAME=VALUE"),
        ("env/default", ["A=\0"], "not of the form NAME=VALUE"),
        ("env/untrusted", ["A=B"], r"env.untrusted\[0\] is 'A=B', which is no name"),
        ("metadata/product_id", 65536, "metadata.product_id is 65536, not between 0 and 65535"),
        ("metadata/debuggable", "no", "metadata.debuggable is 'no', neither true nor false"),
        ("metadata/family_id", {"high": "0x0"}, "metadata.family_id.low is missing"),
        ("metadata/family_id/low", "xyz", "metadata.family_id.low is 'xyz': a text of up to 16 hex"),
        ("metadata/family_id/low", "0x5", "metadata.family_id is set, but metadata.enable_kss is false"),
        ("metadata/pkru", 1, "metadata.pkru does not exist in Occlum 0.31.0"),
        ("feature", None, "feature is missing"),
        ("feature/amx", 3, "feature.amx is 3, not between 0 and 2"),
        ("feature/io_uring", 17, "feature.io_uring is 17, not between 0 and 16"),
        ("feature/sev", 1, "feature.sev is unknown"),
        ("comment", "hello", "comment is unknown"),
        ("mount", [], "mount has no unionfs at /"),
        ("mount/0/type", "ufs", r"mount\[0\].type is 'ufs', not one of sefs, hostfs"),
        ("mount/0/options", {}, "the unionfs at / has no options.layers"),
        ("mount/0/options/layers/0/options", {}, "is the image"),
        ("mount/0/options/layers/1/options", {"MAC": ""}, "to which files are written"),
        ("mount/1/target", "/", "a second file system is mounted at /"),
        ("mount/1/target", "host", r"mount\[1\].target is 'host', not an absolute path"),
        ("mount/1/source", None, r"mount\[1\]: a hostfs needs a source"),
        ("mount/1/type", "unionfs", r"mount\[1\]: a unionfs needs options.layers, two of type sefs"),
        ("mount/1", {"type": "sefs", "target": "/data"}, r"mount\[1\]: a sefs needs a source"),
        (
            "mount/0/options/layers/0/options",
            {"MAC": "", "temporary": True},
            r"layers\[0\]: a sefs with options.MAC cannot be temporary",
        ),
        ("mount/1/type", "ext2", r"mount\[1\]: an ext2 needs options.disk_size"),
        ("mount/1/options", {"disk_size": "1GB"}, "disk_size is 1GB, less than 5GB"),
        ("mount/1/options", {"cache_size": "4KB"}, "cache_size is 4KB, less than 192KB"),
        ("mount/1/options", {"cache_size": "200001B"}, "cache_size is 200001B, not a multiple"),
        ("mount/1/options", {"cache_size": "64MB"}, "more than the kernel's heap of 32768 KB"),
        ("mount/1/options", {"colour": 1}, r"mount\[1\].options.colour is unknown"),
    ],
)
def test_each_mistake_has_its_own_message(path: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_configuration(changed(path, value), parse_release("0.31.0"))


def mounted(*mounts: tuple[str, str]) -> dict[str, Any]:
    made = document()
    made["mount"][1:] = [{"type": kind, "target": target, "source": "."} for kind, target in mounts]
    return made


@pytest.mark.parametrize(
    ("mounts", "message"),
    [
        ((("ramfs", "/tmp"), ("hostfs", "/tmp/")), "a second file system is mounted at /tmp/"),
        ((("hostfs", "/tmp/in"), ("ramfs", "/tmp")), r"mount\[2\] at /tmp hides mount\[1\] at /tmp/in"),
        ((("ramfs", "/tmp"), ("hostfs", "/tmp/in")), r"mount\[2\] at /tmp/in is inside .* a ramfs"),
    ],
)
def test_mounts_that_cannot_all_be_there_are_refused(
    mounts: tuple[tuple[str, str], ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_configuration(mounted(*mounts), parse_release("0.31.0"))


def test_a_mount_in_what_the_host_gives_is_the_hosts_matter() -> None:
    check_configuration(mounted(("hostfs", "/host"), ("ramfs", "/host/in")), parse_release("0.31.0"))
    check_configuration(mounted(("ramfs", "/tmp"), ("ramfs", "/tmpx")), parse_release("0.31.0"))


@pytest.mark.parametrize(
    ("version", "path", "value"),
    [
        ("0.24.1", "metadata/enable_kss", False),
        ("0.26.1", "metadata/pkru", 0),
        ("0.29.0", "resource_limits/kernel_space_heap_max_size", "64MB"),
        ("0.29.4", "mount/1/options", {"cache_size": "1MB"}),
        ("0.29.7", "resource_limits/user_space_max_size", "1GB"),
        ("0.30.0", "feature", {}),
        ("0.30.1", "feature/io_uring", 0),
        ("0.30.1", "mount/1/options", {"disk_size": "5GB"}),
    ],
)
def test_what_came_with_a_later_release_is_refused(version: str, path: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"does not exist in Occlum {version}"):
        check_configuration(changed(path, value, version), parse_release(version))


def test_all_mistakes_are_told_at_once() -> None:
    made = changed("entry_points", [])
    made["metadata"]["product_id"] = -1
    with pytest.raises(UsageError, match=r"entry_points is empty\n  metadata.product_id is -1"):
        check_configuration(made, parse_release("0.31.0"))


def test_edmm_needs_a_release_that_knows_it() -> None:
    with pytest.raises(UsageError, match=r"EDMM does not exist in Occlum 0\.29\.7"):
        check_configuration(document("0.29.7"), parse_release("0.29.7"), edmm=True)


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{", b'{"a": "\\ud800"}', b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000],
)
def test_other_than_a_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(UsageError, match=r"^x "):
        parse_document(text, "x")


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.update(metadata=[]),
        lambda made: made.update(mount={"0": {}}),
        lambda made: made["env"].update(default=[{}]),
        lambda made: made["mount"][0]["options"].update(layers=[1]),
        lambda made: made["mount"].__setitem__(0, None),
    ],
)
def test_anything_in_place_of_anything_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    made = document()
    change(made)
    with pytest.raises(UsageError):
        check_configuration(made, parse_release("0.31.0"))
