"""Our layers are plain, deterministic tar archives."""

import io
import tarfile
from pathlib import Path

import pytest

from enclavize.oci.cache import BlobCache
from enclavize.tee.tar import TarFile, write_layer


def tar_file(path: str, data: bytes, mode: int = 0o444, size: int | None = None) -> TarFile:
    return TarFile(
        path=path, mode=mode, size=len(data) if size is None else size, open=lambda: io.BytesIO(data)
    )


def layer(cache: BlobCache, *files: TarFile) -> bytes:
    with cache.writer() as output:
        write_layer(files, output)
    return cache.path(output.digest).read_bytes()


def test_a_layer_has_sorted_members_without_traces_of_the_machine(tmp_path: Path) -> None:
    files = (tar_file(".enclave/b/x", b"1" * 513, 0o555), tar_file(".enclave/a", b""))
    data = layer(BlobCache(tmp_path), *files)
    assert data == layer(BlobCache(tmp_path / "other"), *reversed(files))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = archive.getmembers()
        assert [(member.name, oct(member.mode)) for member in members] == [
            (".enclave", "0o555"), (".enclave/a", "0o444"), (".enclave/b", "0o555"),
            (".enclave/b/x", "0o555"),
        ]  # fmt: skip
        assert {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in members} == {
            (0, 0, "", "", 0)
        }
        content = archive.extractfile(".enclave/b/x")
        assert content is not None
        assert content.read() == b"1" * 513
    assert data.endswith(bytes(1024))
    assert len(data) % 512 == 0


def test_a_file_that_changes_its_size_is_noticed_and_nothing_is_left(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path)
    with pytest.raises(ValueError, match="5 bytes instead of 6"):
        layer(cache, tar_file("x", b"12345", size=6))
    assert not any(cache.temporary_folder.iterdir())
