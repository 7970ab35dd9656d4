"""Odd packings: compressed archives, old layouts, several names, and layers that other tools write."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any

from enclavize.oci.digest import sha256_digest
from integration.differential.gnu_tar import run
from integration.differential.samples import Archive, Kind, Layout
from support.images import build_image, build_layer, directory, file, symlink, tar_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from integration.differential.samples import Laboratory
    from support.images import Member

_COMMIT = ("-c", "user.name=x", "-c", "user.email=x@x", "-c", "commit.gpgsign=false", "commit", "-qm", "x")


def _saved(
    laboratory: Laboratory, layers: Sequence[bytes], *, tags: Sequence[str] = ("x:1",), old: bool = False
) -> Path:
    """Write a folder as ``docker save`` does; layers are plain tars or what else is given for them."""
    folder = laboratory.folder / "saved"
    folder.mkdir()
    base = tar_of(laboratory.files)
    diff_ids = [sha256_digest(base), *map(sha256_digest, map(_unpacked, layers))]
    config = {
        "architecture": "amd64", "os": "linux", "config": laboratory.execution,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }  # fmt: skip
    data = json.dumps(config).encode()
    name = f"{sha256_digest(data).removeprefix('sha256:')}.json"
    (folder / name).write_bytes(data)
    entry: dict[str, Any] = {"Config": name, "RepoTags": list(tags), "Layers": []}
    for number, layer in enumerate((base, *layers)):
        place = folder / f"{number:064x}"
        place.mkdir()
        (place / "layer.tar").write_bytes(layer)
        if old:
            parent = {"parent": f"{number - 1:064x}"} if number else {}
            (place / "VERSION").write_text("1.0")
            (place / "json").write_text(json.dumps({"id": place.name, **parent, "os": "linux"}))
        entry["Layers"].append(f"{place.name}/layer.tar")
    (folder / "manifest.json").write_text(json.dumps([entry]))
    if old:
        (folder / "repositories").write_text(json.dumps({"x": {"1": f"{len(layers):064x}"}}))
    return folder


def _unpacked(layer: bytes) -> bytes:
    for magic, program in ((b"\xfd7zXZ", "xz"), (b"BZh", "bzip2"), (b"\x1f\x8b", "gzip")):
        if layer.startswith(magic):
            return subprocess.run([program, "-dc"], input=layer, capture_output=True, check=True).stdout
    return layer


def _archive(laboratory: Laboratory, folder: Path, *options: str, program: str = "tar") -> Archive:
    path = laboratory.folder / "image.tar"
    run(program, *options, "-C", folder, "-cf", path, ".")
    return Archive(path=path, ways=("docker-archive",), name="x:1")


def saved(name: str, writer: str, *options: str, old: bool = False, tags: Sequence[str] = ("x:1",)) -> Kind:
    """Return a kind of docker archive that GNU tar or bsdtar has written."""

    def make(laboratory: Laboratory) -> Archive:
        folder = _saved(laboratory, [tar_of([file("srv/y", "1\n")])], tags=tags, old=old)
        return _archive(laboratory, folder, *options, program="bsdtar" if writer == "bsdtar" else "tar")

    return Kind(name=f"packed: {name}", writer=writer, make=make)


def compressed(name: str, *command: str) -> Kind:
    """Return a kind of archive that was compressed as a whole."""

    def make(laboratory: Laboratory) -> Archive:
        found = _archive(laboratory, _saved(laboratory, []))
        packed = subprocess.run(command, input=found.path.read_bytes(), capture_output=True, check=True)
        found.path.write_bytes(packed.stdout)
        return found

    return Kind(name=f"packed: {name}", writer=command[0], make=make)


def compressed_layer(name: str, *command: str) -> Kind:
    """Return a kind of archive in which a layer is compressed."""

    def make(laboratory: Laboratory) -> Archive:
        tar = tar_of([file("srv/y", "1\n")])
        packed = subprocess.run(command, input=tar, capture_output=True, check=True).stdout
        return _archive(laboratory, _saved(laboratory, [packed]))

    return Kind(name=f"packed: {name}", writer=command[0], make=make)


def layer_by(name: str, writer: str, write: Callable[[Laboratory, Path], bytes]) -> Kind:
    """Return a kind with a layer that a program writes of a folder."""

    def make(laboratory: Laboratory) -> Layout:
        folder = laboratory.folder / "tree"
        (folder / "app" / "sub").mkdir(parents=True)
        (folder / "app" / "sub" / "file").write_text("1\n")
        (folder / "app" / "link").symlink_to("sub/file")
        return laboratory.image_of(build_layer(laboratory.files), write(laboratory, folder))

    return Kind(name=f"packed: {name}", writer=writer, make=make)


def _git(folder: Path, *options: str) -> bytes:
    for arguments in (("init", "-q"), ("add", "."), _COMMIT):
        run("git", "-C", folder, *arguments)
    return run("git", "-C", folder, "archive", "--format=tar", *options, "HEAD")


_PERL = "use Archive::Tar; my $t = Archive::Tar->new; $t->add_files(@ARGV); $t->write('../perl.tar')"


def _perl(laboratory: Laboratory, folder: Path) -> bytes:
    run("perl", "-e", _PERL, "app", "app/sub", "app/sub/file", "app/link", cwd=folder)
    return (laboratory.folder / "perl.tar").read_bytes()


def _holes(*command: Any) -> bytes:
    """Let a program, whose words are followed by a laboratory and a folder, write files with holes."""
    *words, laboratory, _ = command
    folder = laboratory.folder / "holes"
    folder.mkdir()
    with (folder / "sparse").open("wb") as output:
        output.seek(3 << 20)
        output.write(b"middle")
        output.seek(5 << 20)
        output.write(b"end")
    (folder / "behind").write_text("1\n")
    return run(*words, "-C", folder, "-cf", "-", "sparse", "behind")


def _like(name: str, *members: Member) -> Kind:
    """Return a kind with a layer as a builder writes it, by hand."""

    def make(laboratory: Laboratory) -> Layout:
        layers = [build_layer(laboratory.files), build_layer(members)]
        created = {"created": "1970-01-01T00:00:00Z"}
        return laboratory.layout(build_image(layers, config=laboratory.execution, change_config=created))

    return Kind(name=f"packed: {name}", writer="Python", make=make)


def _skopeo_folder(laboratory: Laboratory) -> Layout:
    """What skopeo calls ``dir:``; dockerd has the same image from a registry."""
    image = build_image([laboratory.files, [file("srv/y", "1\n")]], config=laboratory.execution)
    layout = laboratory.layout(image)
    folder = laboratory.folder / "folder"
    run("skopeo", "copy", "-q", "--insecure-policy", f"oci:{layout.path}:1", f"dir:{folder}")
    return Layout(path=layout.path, built_from=f"dir:{folder}")


def _program_folder(laboratory: Laboratory) -> Path:
    """Write a root file system with the program."""
    folder = laboratory.folder / "root"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "hello").write_bytes(laboratory.program)
    (folder / "bin" / "hello").chmod(0o755)
    (folder / "opt").mkdir()
    (folder / "opt" / "link").symlink_to("../bin/hello")
    return folder


def _umoci(laboratory: Laboratory) -> Layout:
    layout = laboratory.folder / "layout"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", f"{layout}:1")
    run("umoci", "insert", "--image", f"{layout}:1", _program_folder(laboratory), "/")
    run(
        "umoci", "config", "--image", f"{layout}:1", "--os", "linux", "--architecture", "amd64",
        "--config.entrypoint", "/bin/hello", "--config.cmd", "there", "--config.workingdir", "/opt",
        "--config.user", "7:8", "--config.env", "A=1", "--config.volume", "/data",
    )  # fmt: skip
    return Layout(path=layout)


def _buildah(form: str, laboratory: Laboratory) -> Layout | Archive:
    store = laboratory.folder / "store"
    base = ("buildah", "--root", store / "root", "--runroot", store / "run", "--storage-driver", "vfs")
    name = run(*base, "from", "scratch").decode().strip()
    run(*base, "copy", name, _program_folder(laboratory), "/")
    run(
        *base, "config", "--entrypoint", '["/bin/hello"]', "--cmd", "there", "--env", "A=1", "--user", "7:8",
        "--workingdir", "/opt", "--volume", "/data", name,
    )  # fmt: skip
    if form == "archive":
        path = laboratory.folder / "image.tar"
        run(*base, "commit", "-q", name, f"docker-archive:{path}:localhost/x:1")
        return Archive(path=path, ways=("docker-archive",), name="localhost/x:1")
    layout = laboratory.folder / "layout"
    run(*base, "commit", "-q", "--format", form, name, f"oci:{layout}:1")
    return Layout(path=layout)


KINDS = [
    Kind(name="packed: an image by umoci", writer="umoci", make=_umoci),
    Kind(name="packed: an image by buildah", writer="buildah", make=partial(_buildah, "oci")),
    Kind(name="packed: an archive by buildah", writer="buildah", make=partial(_buildah, "archive")),
    saved("in GNU's format", "GNU tar", "--format=gnu"),
    saved("in the oldest format", "GNU tar", "--format=v7"),
    saved("as docker save writes it", "GNU tar"),
    saved("with files of version 1", "GNU tar", old=True),
    saved("with several names", "GNU tar", tags=("x:1", "y:2", "registry.example/z:3")),
    saved("with holes", "GNU tar", "--format=posix", "--sparse"),
    saved("by bsdtar, pax", "bsdtar", "--format=pax"),
    saved("by bsdtar, ustar", "bsdtar", "--format=ustar"),
    compressed("gzip", "gzip", "-c"),
    compressed("xz", "xz", "-c"),
    compressed("xz of several blocks", "xz", "-c", "--block-size=64KiB", "--check=sha256"),
    compressed("bzip2", "bzip2", "-c"),
    compressed("zstd", "zstd", "-qc"),
    compressed_layer("a layer in xz", "xz", "-c"),
    compressed_layer("a layer in bzip2", "bzip2", "-c"),
    compressed_layer("a layer in gzip", "gzip", "-c"),
    layer_by("git archive", "git", lambda _, folder: _git(folder)),
    layer_by("git archive in a folder", "git", lambda _, folder: _git(folder, "--prefix=opt/it/")),
    layer_by("Perl's Archive::Tar", "perl", _perl),
    layer_by("BusyBox", "busybox", lambda _, folder: run("busybox", "tar", "-C", folder, "-cf", "-", ".")),
    *(
        layer_by(f"pax {version} with holes", "GNU tar",
                 partial(_holes, "tar", "--format=posix", "--sparse", f"--sparse-version={version}"))
        for version in ("0.0", "0.1", "1.0")
    ),
    layer_by("bsdtar with holes", "bsdtar", partial(_holes, "bsdtar", "--format=pax")),
    layer_by("GNU's old format with holes", "GNU tar", partial(_holes, "tar", "--format=gnu", "--sparse")),
    _like("as kaniko writes it", directory("/"), directory("/srv/"), file("/srv/y", "1\n")),
    _like("as Jib writes it", directory("app/"), file("app/x", "1\n", mtime=1), symlink("app/l", "x")),
    _like("as Bazel writes it", file("./app/deep/x", "1\n", mtime=0)),
    Kind(name="packed: a folder of skopeo's", writer="skopeo", make=_skopeo_folder),
]  # fmt: skip
