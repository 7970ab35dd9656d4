"""One reading of JSON: what Go's encoding/json reads otherwise than others is refused, or remembered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from enclavize.errors import AuthenticationError, InvalidImageError
from enclavize.oci.document import canonical_json, parse_document, parse_documents
from enclavize.oci.image_config import parse_config
from enclavize.oci.manifest import parse_manifest
from enclavize.oci.registry.credentials import Credentials
from enclavize.oci.shape import Shape, fold
from enclavize.rune.config_file import read_config
from enclavize.tee.description import parse_description
from support.images import build_image, file

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = build_image([[file("a")]])


@pytest.mark.parametrize("name", ["\u017ftop\u017fignal", "StopSignal", "STOPSIGNAL"])
def test_names_fold_as_in_go(name: str) -> None:
    assert fold(name) == "stopsignal"


@pytest.mark.parametrize("name", ["\u017fhell", "worKingdir", "\u212aind"])
def test_names_that_are_not_ascii_but_fold_to_it(name: str) -> None:
    assert fold(name).isascii()


@pytest.mark.parametrize("name", ["straße", "\u0131", "é", "\uff21"])
def test_other_letters_do_not_fold_to_ascii(name: str) -> None:
    assert not fold(name).isascii()


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 1}',
        b'{"x": {"y": [{"a": null, "a": null}]}}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": "\\uDFFF\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\x01"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
        '{"a": 1}'.encode("utf-32"),
        b'{"a": 1} {}',
        b'{"a": 1}\0',
        b'{"a": 01}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"{'a': 1}",
        b'{"a": 1,}',
    ],
)
def test_what_readers_take_differently_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidImageError):
        parse_document(text, "x")


def test_pairs_of_surrogates_are_text() -> None:
    assert parse_document(b'{"a": "\\ud83d\\ude00", "b": "\\\\ud800"}', "x").members == {
        "a": "\N{GRINNING FACE}",
        "b": "\\ud800",
    }


def test_many_names_cost_no_more_than_few() -> None:
    names = ", ".join(f'"{number}": 1' for number in range(300_000))
    with pytest.raises(InvalidImageError, match="'299999' stands twice"):
        parse_document(f'{{{names}, "299999": 2}}'.encode(), "x")


SHAPE = Shape(names="User Labels", below={"Deep": Shape(names="Stop")}, maps={"auths": Shape(names="auth")})


@pytest.mark.parametrize(
    "text",
    [
        '{"User": "a", "user": "b"}',
        '{"user": "a", "USER": "b"}',
        '{"User": "a", "u\u017fer": "b"}',
        '{"unknown": 1, "Unknown": 2}',
        '{"Deep": {"Stop": 1, "\u017ftop": 2}}',
        '{"Deep": [{}, {"Stop": 1, "stop": 2}]}',
        '{"deep": {"Stop": 1, "stop": 2}}',
        '{"auths": {"HOST": {"auth": 1, "Auth": 2}}}',
        '{"Labels": {"a": "1", "a": "2"}}',
    ],
)
def test_a_name_in_two_spellings_is_refused_where_a_format_defines_it(text: str) -> None:
    with pytest.raises(InvalidImageError, match="in two ways"):
        parse_document(text.encode(), "x", SHAPE)
    with pytest.raises(InvalidImageError, match="in two ways"):
        parse_documents(f"[{{}}, {text}]".encode(), "x", SHAPE)


def test_keys_of_maps_are_exact() -> None:
    text = '{"Labels": {"a": "1", "A": "2"}, "auths": {"host": {}, "HOST": {}}, "other": {"x": 1, "X": 2}}'
    document = parse_document(text.encode(), "x", SHAPE)
    assert document.members == json.loads(text)
    assert document.misspelled == ()


def test_one_other_spelling_is_read_as_go_does_and_remembered() -> None:
    text = '{"u\u017fer": "a", "deep": [{"STOP": 1}], "AUTHS": {"Host": {"AUTH": 1}}, "more": 1}'
    document = parse_document(text.encode(), "x", SHAPE)
    assert document.members == {
        "User": "a", "Deep": [{"Stop": 1}], "auths": {"Host": {"auth": 1}}, "more": 1,
    }  # fmt: skip
    assert sorted(document.misspelled) == ["AUTH", "AUTHS", "STOP", "deep", "u\u017fer"]


def test_a_configuration_in_another_case_is_what_go_takes_it_for() -> None:
    config = parse_config(
        b'{"Config": {"entrypoint": ["/e"], "healthCheck": {"test": ["NONE"]}, "onbuild": ["RUN x"]},'
        b' "ROOTFS": {"Diff_IDs": []}, "History": [{"Empty_Layer": true}]}',
        "c",
    )
    assert config.entrypoint == ("/e",)
    assert config.healthcheck == {"Test": ["NONE"]}
    assert config.history == ({"empty_layer": True},)
    assert config.raw["config"]["OnBuild"] == ["RUN x"]  # build would leave "onbuild" for engines otherwise
    assert "entrypoint" in config.misspelled


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('"Entrypoint": ["/.enclave/bin/runelet"]', '"entrypoint": ["/bin/hello"]'),
        ('"Env": []', '"env": ["ENCLAVIZE_SIMULATE=1"]'),
        ('"WorkingDir": "/"', '"wor\u212aingDir": "/tmp"'),
        ('"User": ""', '"u\u017fer": "root"'),
    ],
)
def test_a_configuration_with_two_spellings_is_refused(one: str, other: str) -> None:
    with pytest.raises(InvalidImageError, match="in two ways"):
        parse_config(f'{{"config": {{{one}, {other}}}}}'.encode(), "c")


@pytest.mark.parametrize("other", ["Layers", "layer\u017f", "CONFIG", "\u017fchemaVersion", "Manifests"])
def test_a_manifest_with_two_spellings_is_refused(other: str) -> None:
    text = IMAGE.manifest_bytes.decode()
    extra = f", {json.dumps(other, ensure_ascii=False)}: {{}}}}"
    with pytest.raises(InvalidImageError):
        parse_manifest((text[:-1] + extra).encode(), "m")


def test_a_folded_name_decides_what_a_manifest_is() -> None:
    text = b'{"schemaVersion": 2, "Manifests": [], "config": {}, "layers": []}'
    with pytest.raises(InvalidImageError, match="neither"):
        parse_manifest(text, "m")
    with pytest.raises(InvalidImageError, match="schema 1"):
        parse_manifest(b'{"schemaVersion": 2, "FSLAYERS": [], "config": {}, "layers": []}', "m")


def test_enclave_json_with_a_member_twice_is_refused() -> None:
    with pytest.raises(InvalidImageError, match="twice"):
        parse_description(b'{"version": 1, "version": 1}')
    with pytest.raises(InvalidImageError, match="unknown"):
        parse_description(b'{"version": 1, "Mrenclave": ""}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"process": {"args": ["a"]}, "Process": {"args": ["b"]}}', "in two ways"),
        ('{"process": {"args": ["a"], "Args": ["b"]}}', "in two ways"),
        ('{"process": {"args": ["a"]}, "process": {"args": ["b"]}}', "twice"),
        ('{"root": {"path": "a", "Path": "b"}}', "in two ways"),
        ('{"mounts": [{"source": "a", "\u017fource": "b"}]}', "in two ways"),
        ('{"linux": {"devices": [{"path": "a", "Path": "b"}]}}', "in two ways"),
        ('{"linux": {"seccomp": {"syscalls": [{"args": [{"op": "a", "Op": "b"}]}]}}}', "in two ways"),
        ('{"hooks": {"prestart": [{"path": "a", "PATH": "b"}]}}', "in two ways"),
        ('{"Process": {"args": ["a"]}}', "otherwise"),
        ('{"annotations": {"a": "\\ud800"}}', "JSON"),
        ("[]", "object"),
    ],
)
def test_a_runtime_configuration_has_one_reading(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InvalidImageError, match=message):
        read_config(tmp_path)


def test_keys_of_a_runtime_configuration_that_are_data_are_exact(tmp_path: Path) -> None:
    text = '{"annotations": {"a": "1", "A": "2"}, "linux": {"sysctl": {"k": "1", "K": "2"}}}'
    path = tmp_path / "config.json"
    path.write_text(text)
    assert read_config(tmp_path) == json.loads(text)


def test_docker_s_configuration_names_registries_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    path = tmp_path / "config.json"
    path.write_text('{"Auths": {"host": {"Auth": "YTpi"}, "HOST": {"auth": "Yzpk"}}}')
    assert Credentials.load().for_registry("host").username == "a"
    assert Credentials.load().for_registry("HOST").username == "c"
    for text in (
        '{"auths": {"host": {"auth": "YTpi"}, "host": {"auth": "Yzpk"}}}',
        '{"auths": {"host": {"auth": "YTpi", "Auth": "Yzpk"}}}',
        '{"auths": {}, "Auths": {}}',
    ):
        path.write_text(text)
        with pytest.raises(AuthenticationError, match=r"in two ways"):
            Credentials.load()


def test_no_infinity_is_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("inf"))
