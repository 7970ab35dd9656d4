"""Results of earlier builds are found while all their parts are there."""

import os
from pathlib import Path

import pytest

from enclavize.oci.cache import BlobCache
from enclavize.oci.descriptor import Descriptor
from enclavize.oci.digest import sha256_digest
from enclavize.oci.document import canonical_json
from enclavize.oci.manifest import image_manifest
from enclavize.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from enclavize.pipeline import results
from enclavize.pipeline.results import Results, result_key
from enclavize.tee.description import TeeDescription
from enclavize.tee.image import TeeImage
from enclavize.tee.policy import Network, Policy


def put(cache: BlobCache, data: bytes, media_type: str) -> Descriptor:
    with cache.writer() as output:
        output.write(data)
    return Descriptor(media_type=media_type, digest=output.digest, size=output.size)


@pytest.fixture
def cache(tmp_path: Path) -> BlobCache:
    return BlobCache(tmp_path)


def tee_image(cache: BlobCache, *, layer: bytes = b"layer") -> TeeImage:
    config_bytes = canonical_json({"rootfs": {"type": "layers", "diff_ids": [sha256_digest(layer)]}})
    config = put(cache, config_bytes, OCI_CONFIG)
    manifest_bytes = image_manifest(config, (put(cache, layer, OCI_LAYER),))
    description = TeeDescription(
        generator="test",
        libos="builtin",
        libos_version="1",
        mrenclave="ab" * 32,
        mrsigner="cd" * 32,
        isv_prod_id=1,
        isv_svn=2,
        debug=False,
        argv=("/bin/app",),
        files={},
        policy=Policy(network=Network.LOOPBACK),
    )
    return TeeImage(
        manifest=put(cache, manifest_bytes, OCI_MANIFEST),
        manifest_bytes=manifest_bytes,
        config_bytes=config_bytes,
        description=description,
    )


def test_what_was_kept_is_found(cache: BlobCache) -> None:
    tee = tee_image(cache)
    Results(cache).keep("key", tee)
    assert Results(cache).find("key", frozenset()) == tee
    assert Results(cache).find("other", frozenset()) is None


def test_a_result_without_all_its_blobs_is_not_found(cache: BlobCache) -> None:
    tee = tee_image(cache)
    Results(cache).keep("key", tee)
    layer = tee.layers[0].digest
    cache.path(layer).unlink()
    assert Results(cache).find("key", frozenset()) is None
    assert Results(cache).find("key", frozenset({layer})) == tee, "layers of the source are at the source"
    cache.path(tee.config.digest).unlink()
    assert Results(cache).find("key", frozenset({layer})) is None


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"{}", b'{"manifest": {}, "description": {}}', b"x" * (3 << 20)]
)
def test_a_damaged_result_is_as_good_as_none(cache: BlobCache, damage: bytes) -> None:
    Results(cache).keep("key", tee_image(cache))
    (cache.root / "results" / "key.json").write_bytes(damage)
    assert Results(cache).find("key", frozenset()) is None


def test_a_result_in_which_any_bit_is_another_is_as_good_as_none(cache: BlobCache) -> None:
    """A build tells of the measurement that it has from there."""
    Results(cache).keep("key", tee_image(cache))
    path = cache.root / "results" / "key.json"
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        assert Results(cache).find("key", frozenset()) is None, at
    path.write_bytes(whole)
    assert Results(cache).find("key", frozenset()) is not None


def test_a_damaged_blob_is_noticed(cache: BlobCache) -> None:
    tee = tee_image(cache)
    Results(cache).keep("key", tee)
    path = cache.path(tee.config.digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert Results(cache).find("key", frozenset()) is None


def test_old_results_are_forgotten(cache: BlobCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MAX_RESULTS", 3)
    tee = tee_image(cache)
    for number in range(5):
        Results(cache).keep(f"{number}", tee)
        os.utime(cache.root / "results" / f"{number}.json", (number, number))
    assert Results(cache).find("0", frozenset()) is None
    assert Results(cache).find("4", frozenset()) == tee


def test_every_ingredient_counts() -> None:
    assert result_key(["a", {"b": 1}]) == result_key(["a", {"b": 1}])
    assert len({result_key(value) for value in (["a"], ["b"], [["a"]], ["a", None], [{"a": 1}])}) == 5
