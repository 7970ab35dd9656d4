"""The Occlum.json of new and converted instances."""

from __future__ import annotations

import pytest

from enclavize.libos.occlum.configuration import check_configuration
from enclavize.libos.occlum.document import with_table
from enclavize.libos.occlum.template import merged, size_text, template
from enclavize.libos.occlum.versions import parse_release
from unit.libos.occlum.documents import document

VERSIONS = (
    "0.21.0",
    "0.24.0",
    "0.26.1",
    "0.28.0",
    "0.29.4",
    "0.29.7",
    "0.30.0",
    "0.30.1",
    "0.31.0",
    "0.31.9",
)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_template_is_what_its_release_takes(version: str) -> None:
    release = parse_release(version)
    assert not check_configuration(template(release), release).debuggable


@pytest.mark.parametrize(
    ("size", "text"),
    [(1, "1B"), (1 << 10, "1KB"), (300 << 20, "300MB"), (1 << 30, "1GB"), ((1 << 30) + 4096, "1048580KB")],
)
def test_sizes_are_written_without_loss(size: int, text: str) -> None:
    assert size_text(size) == text


def test_objects_are_merged_member_by_member_and_nothing_is_shared() -> None:
    old, new = {"a": {"b": 1, "c": [1]}, "d": 1}, {"a": {"b": 2}, "e": [3]}
    made = merged(old, new)
    assert made == {"a": {"b": 2, "c": [1]}, "d": 1, "e": [3]}
    made["a"]["c"].append(2)
    made["e"].append(4)
    assert old["a"] == {"b": 1, "c": [1]}
    assert new["e"] == [3]


def test_a_table_changes_variables_by_name_and_mounts_by_target() -> None:
    made = with_table(
        document(),
        {
            "env": {"default": ["NEW=1", "OCCLUM=no"]},
            "mount": [{"target": "/host", "type": "ramfs"}, {"target": "/tmp", "type": "ramfs"}],
        },
    )
    assert made["env"] == {"default": ["NEW=1", "OCCLUM=no"], "untrusted": ["EXAMPLE"]}
    assert [(mount["target"], mount["type"]) for mount in made["mount"]] == [
        ("/", "unionfs"),
        ("/host", "ramfs"),
        ("/tmp", "ramfs"),
    ]


@pytest.mark.parametrize(
    "table", [{"env": 1}, {"env": {"default": [1]}}, {"mount": {}}, {"mount": [1]}, {"mount": [{}]}]
)
def test_a_table_of_another_form_is_left_to_the_check(table: dict[str, object]) -> None:
    with_table(document(), table)
