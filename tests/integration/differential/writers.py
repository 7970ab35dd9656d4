"""Layers, layouts and archives by other writers: GNU tar, bsdtar, Go, umoci, buildah, dockerd and skopeo."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.oci import media_types
from enclavize.oci.digest import sha256_digest
from integration.differential.gnu_tar import run
from integration.differential.samples import Archive, Kind, Layout
from support.images import Layer, build_image, build_layer, file, tar_of, whiteout, write_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from integration.differential.samples import Laboratory, Sample

MTIME = 1_700_000_000
_LONG = "/".join(["long"] * 30)
"""Too long for one field of a header and, with a file, for the two of ustar."""


def folder(laboratory: Laboratory, *, plain: bool = False) -> Path:
    """Make a folder with one file of each kind; ``plain`` for formats that know few of them."""
    root = laboratory.folder / "folder"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_text("the right file\n")
    os.chown(root / "sub" / "file", 1000, 1001)
    (root / "sub" / "file").chmod(0o4755)
    (root / "sub").chmod(0o1777)
    os.link(root / "sub" / "file", root / "hard")
    (root / "link").symlink_to("sub/file")
    if not plain:
        os.mkfifo(root / "pipe", 0o622)
        os.mknod(root / "device", 0o020666, os.makedev(1, 3))
        (root / "na\u00efve").write_text("1")
        deep = root / _LONG / ("f" * 120)
        deep.parent.mkdir(parents=True)
        deep.write_text("2")
        (root / "long-link").symlink_to("t" * 200)
    for path in [root, *root.rglob("*")]:
        os.utime(path, (MTIME, MTIME), follow_symlinks=False)
    return root


def gnu_tar(name: str, *options: str, members: Sequence[str] = (".",), plain: bool = False) -> Kind:
    """Return a kind with a layer that GNU tar wrote."""

    def make(laboratory: Laboratory) -> Layout:
        root = folder(laboratory, plain=plain)
        tar = run("tar", "-C", root, *options, "-cf", "-", *members)
        return laboratory.image_of(build_layer(laboratory.files), tar)

    return Kind(name=f"GNU tar: {name}", writer="GNU tar", make=make)


def bsdtar(
    name: str, *options: str, plain: bool = False, change: Callable[[Path], object] = lambda _: None
) -> Kind:
    """Return a kind with a layer that bsdtar wrote."""

    def make(laboratory: Laboratory) -> Layout:
        root = folder(laboratory, plain=plain)
        change(root)
        tar = run("bsdtar", "-C", root, *options, "-cf", "-", ".")
        return laboratory.image_of(build_layer(laboratory.files), tar)

    return Kind(name=f"bsdtar: {name}", writer="bsdtar", make=make)


def go(name: str, number: int) -> Kind:
    """Return a kind with a layer that Go's archive/tar wrote, in one of its formats."""
    return Kind(
        name=f"Go: {name}",
        writer="Go",
        make=lambda laboratory: laboratory.image_of(
            build_layer(laboratory.files), laboratory.go_archives()[number]
        ),
    )


def _sparse(laboratory: Laboratory) -> Path:
    root = laboratory.folder / "folder"
    root.mkdir()
    with (root / "sparse").open("wb") as output:
        output.seek(1 << 20)
        output.write(b"end")
    return root


def sparse(name: str, *command: str) -> Kind:
    """Return a kind with a file full of holes."""

    def make(laboratory: Laboratory) -> Layout:
        tar = run(*command, "-C", _sparse(laboratory), "-cf", "-", ".")
        return laboratory.image_of(build_layer(laboratory.files), tar)

    return Kind(name=name, writer="bsdtar" if command[0] == "bsdtar" else "GNU tar", make=make)


def _xattr(root: Path) -> None:
    os.setxattr(root / "sub" / "file", "user.note", b"v")


def _appended(laboratory: Laboratory) -> Layout:
    """Write a file again behind its first version, as ``tar -r`` does."""
    root = folder(laboratory, plain=True)
    archive = laboratory.folder / "archive.tar"
    run("tar", "-C", root, "-cf", archive, "sub")
    (root / "sub" / "file").write_text("the newer file\n")
    run("tar", "-C", root, "-rf", archive, "sub/file")
    return laboratory.image_of(build_layer(laboratory.files), archive.read_bytes())


def _concatenated(laboratory: Laboratory) -> Layout:
    """Join two archives, as ``tar -A`` does."""
    root = folder(laboratory, plain=True)
    for name in ("sub", "link"):
        run("tar", "-C", root, "-cf", laboratory.folder / f"{name}.tar", name)
    run("tar", "-Af", laboratory.folder / "sub.tar", laboratory.folder / "link.tar")
    return laboratory.image_of(build_layer(laboratory.files), (laboratory.folder / "sub.tar").read_bytes())


def _catenated(laboratory: Laboratory) -> Layout:
    """Join two archives with cat(1): the second one is behind an end mark."""
    root = folder(laboratory, plain=True)
    tar = b"".join(run("tar", "-C", root, "-cf", "-", name) for name in ("sub", "link"))
    return laboratory.image_of(build_layer(laboratory.files), tar)


def _converted(laboratory: Laboratory) -> Layout:
    """Convert GNU tar's archive to pax with bsdtar."""
    root = folder(laboratory)
    run("tar", "-C", root, "--format=gnu", "-cf", laboratory.folder / "gnu.tar", ".")
    tar = run("bsdtar", "--format=pax", "-cf", "-", f"@{laboratory.folder / 'gnu.tar'}")
    return laboratory.image_of(build_layer(laboratory.files), tar)


def _compressed(program: str, media_type: str) -> Callable[[Laboratory], Layout]:
    def make(laboratory: Laboratory) -> Layout:
        root = folder(laboratory, plain=True)
        tar = run("tar", "-C", root, "-cf", "-", ".")
        plain, blob = laboratory.folder / "layer.tar", laboratory.folder / "blob"
        plain.write_bytes(tar)
        run("bash", "-c", f"{program} <{plain} >{blob}")
        layer = Layer(blob=blob.read_bytes(), media_type=media_type, diff_id=sha256_digest(tar))
        return laboratory.image_of(build_layer(laboratory.files), layer)

    return make


def _source(laboratory: Laboratory) -> Path:
    """Write an ordinary image of two layers, tag 1."""
    layers = [laboratory.files, [file("srv/new", "1\n"), whiteout("srv/x")]]
    return write_layout(laboratory.folder / "source", {"1": build_image(layers, config=laboratory.execution)})


def _umoci_config(laboratory: Laboratory) -> Layout:
    layout = laboratory.folder / "layout"
    image = f"{layout}:1"
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", image)
    run("umoci", "insert", "--image", image, folder(laboratory), "/here")
    run(
        "umoci", "config", "--image", image, "--os", "linux", "--architecture", "amd64",
        "--config.entrypoint", "/bin/x", "--config.cmd", "y", "--config.env", "A=1", "--config.user", "7:8",
        "--config.label", "who=me", "--config.workingdir", "/here", "--config.volume", "/data",
        "--config.exposedports", "80/tcp", "--config.stopsignal", "SIGUSR1",
    )  # fmt: skip
    return Layout(path=layout)


def _umoci_repack(laboratory: Laboratory) -> Layout:
    """Let umoci write whiteouts."""
    layout, bundle = _source(laboratory), laboratory.folder / "work"
    run("umoci", "unpack", "--image", f"{layout}:1", bundle)
    rootfs = bundle / "rootfs"
    (rootfs / "bin" / "hello").unlink()
    shutil.rmtree(rootfs / "srv")
    (rootfs / "srv").write_text("a file now\n")
    os.link(rootfs / "srv", rootfs / "hard")
    run("umoci", "repack", "--image", f"{layout}:2", bundle)
    return Layout(path=layout, tag="2", digest=_digest_of(layout, "2"))


def _umoci_insert(laboratory: Laboratory) -> Layout:
    """Let umoci write an opaque whiteout and an ordinary one."""
    layout, source = _source(laboratory), laboratory.folder / "new"
    (source / "y").mkdir(parents=True)
    run("umoci", "insert", "--image", f"{layout}:1", "--tag", "2", "--opaque", source, "/srv")
    run("umoci", "insert", "--image", f"{layout}:2", "--whiteout", "/bin/hello")
    return Layout(path=layout, tag="2", digest=_digest_of(layout, "2"))


def _digest_of(layout: Path, tag: str) -> str:
    import json

    for entry in json.loads((layout / "index.json").read_bytes())["manifests"]:
        if entry.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag:
            return str(entry["digest"])
    raise AssertionError(tag)


def _buildah(laboratory: Laboratory, target: str, *options: str) -> None:
    """Build an image of several layers, without a container: there is nothing to run in it."""
    store = laboratory.folder / "store"
    base = ("buildah", "--root", store / "root", "--runroot", store / "run", "--storage-driver", "vfs")
    context = laboratory.folder / "context"
    shutil.copytree(folder(laboratory, plain=True), context, symlinks=True)
    name = run(*base, "from", "scratch").decode().strip()
    run(*base, "copy", name, context, "/here")
    run(
        *base, "config", "--entrypoint", '["/bin/x"]', "--cmd", "y", "--env", "A=1", "--user", "7:8",
        "--workingdir", "/here", "--label", "who=me", "--port", "80/tcp", "--volume", "/data",
        "--stop-signal", "SIGUSR1", name,
    )  # fmt: skip
    run(*base, "commit", "-q", *options, name, "first")
    name = run(*base, "from", "localhost/first").decode().strip()
    root = Path(run(*base, "mount", name).decode().strip())
    (root / "here" / "hard").unlink()
    shutil.rmtree(root / "here" / "sub")
    (root / "here" / "sub").mkdir()
    (root / "here" / "new").write_text("1\n")
    run(*base, "umount", name)
    run(*base, "commit", "-q", *options, name, target)


def _buildah_layout(form: str) -> Callable[[Laboratory], Sample]:
    def make(laboratory: Laboratory) -> Layout:
        layout = laboratory.folder / "layout"
        _buildah(laboratory, f"oci:{layout}:1", "--format", form)
        return Layout(path=layout)

    return make


def _buildah_archive(way: str) -> Callable[[Laboratory], Sample]:
    def make(laboratory: Laboratory) -> Archive:
        path = laboratory.folder / "image.tar"
        _buildah(laboratory, f"{way}:{path}:localhost/x:1")
        return Archive(path=path, ways=(way,), tag="localhost/x:1", name="localhost/x:1")

    return make


def _skopeo(target: str, *options: str) -> Callable[[Laboratory], Sample]:
    def make(laboratory: Laboratory) -> Sample:
        path = laboratory.folder / "copy"
        suffix = "x:1" if target == "docker-archive" else "1"
        run(
            "skopeo", "copy", "-q", "--insecure-policy", *options, f"oci:{_source(laboratory)}:1",
            f"{target}:{path}:{suffix}",
        )  # fmt: skip
        return Layout(path=path) if target == "oci" else Archive(path=path, ways=(target,), name="x:1")

    return make


def _docker_image(laboratory: Laboratory) -> str:
    """Let dockerd make an image of two layers."""
    api = laboratory.dockerd.client.api
    repository, tag = "made", laboratory.folder.name
    api.import_image_from_data(tar_of(laboratory.files), repository="base", tag=tag)
    container = api.create_container(f"base:{tag}", command=["x"])
    api.put_archive(container, "/srv", tar_of([file("file", "1\n")]))
    changes = [
        "USER 7:8", "ENV A=1", "LABEL who=me", "WORKDIR /srv", 'ENTRYPOINT ["/bin/hello"]', 'CMD ["there"]',
        "HEALTHCHECK CMD /bin/true", "VOLUME /data", "EXPOSE 80", "ONBUILD RUN x",
    ]  # fmt: skip
    api.commit(container, repository=repository, tag=tag, changes=changes)
    api.remove_container(container)
    return f"{repository}:{tag}"


def _docker_save(laboratory: Laboratory) -> Archive:
    name = _docker_image(laboratory)
    path = laboratory.folder / "image.tar"
    with path.open("wb") as output:
        for piece in laboratory.dockerd.client.api.get_image(name):
            output.write(piece)
    return Archive(path=path, ways=("docker-archive",), name=name)


def _docker_save_gzip(laboratory: Laboratory) -> Archive:
    saved = _docker_save(laboratory)
    saved.path.write_bytes(gzip.compress(saved.path.read_bytes()))
    return saved


_GZIP, _ZSTD = media_types.OCI_LAYER_GZIP, media_types.OCI_LAYER_ZSTD

KINDS = [
    gnu_tar("v7", "--format=v7", "--warning=no-file-ignored", members=("sub", "link"), plain=True),
    gnu_tar("oldgnu", "--format=oldgnu"),
    gnu_tar("gnu", "--format=gnu"),
    gnu_tar("ustar", "--format=ustar", plain=True),
    gnu_tar("posix", "--format=posix"),
    gnu_tar("posix with global headers", "--format=posix", "--pax-option=comment=x,globexthdr.name=g,path=y"),
    gnu_tar("large owners", "--format=gnu", "--owner=:3000000", "--group=:3000001"),
    gnu_tar("large owners in pax", "--format=posix", "--owner=:3000000", "--group=:3000001"),
    gnu_tar("before 1970", "--format=gnu", "--mtime=@-5"),
    gnu_tar("before 1970 in pax", "--format=posix", "--mtime=@-5.5"),
    gnu_tar("absolute names", "--transform=s,^\\.,/abs,", "-P"),
    gnu_tar("a label", "--label=name"),
    gnu_tar("incremental", "--incremental"),
    gnu_tar("no hard links", "--hard-dereference"),
    sparse("GNU tar: sparse, gnu", "tar", "--format=gnu", "--sparse"),
    sparse("GNU tar: sparse, pax 0.0", "tar", "--format=posix", "--sparse", "--sparse-version=0.0"),
    sparse("GNU tar: sparse, pax 0.1", "tar", "--format=posix", "--sparse", "--sparse-version=0.1"),
    sparse("GNU tar: sparse, pax 1.0", "tar", "--format=posix", "--sparse", "--sparse-version=1.0"),
    Kind(name="GNU tar: appended", writer="GNU tar", make=_appended),
    Kind(name="GNU tar: joined by -A", writer="GNU tar", make=_concatenated),
    Kind(name="GNU tar: joined by cat", writer="GNU tar", make=_catenated),
    Kind(name="GNU tar: gzip", writer="GNU tar", make=_compressed("gzip -9", _GZIP)),
    Kind(name="GNU tar: gzip in two members", writer="GNU tar",
         make=_compressed("bash -c 'head -c 700 | gzip; cat | gzip'", _GZIP)),
    Kind(name="GNU tar: zstd", writer="GNU tar", make=_compressed("zstd -q --long=27", _ZSTD)),
    bsdtar("ustar", "--format=ustar", plain=True),
    bsdtar("pax", "--format=pax"),
    bsdtar("pax, as little as possible"),
    bsdtar("gnutar", "--format=gnutar"),
    bsdtar("v7", "--format=v7tar", plain=True),
    bsdtar("xattrs", "--format=pax", "--xattrs", change=_xattr),
    sparse("bsdtar: sparse", "bsdtar", "--format=pax"),
    Kind(name="bsdtar: converted from GNU", writer="bsdtar", make=_converted),
    go("as it fits", 0),
    go("USTAR", 1),
    go("PAX", 2),
    go("GNU", 3),
    Kind(name="umoci: insert and config", writer="umoci", make=_umoci_config),
    Kind(name="umoci: whiteouts", writer="umoci", make=_umoci_repack),
    Kind(name="umoci: an opaque whiteout", writer="umoci", make=_umoci_insert),
    Kind(name="buildah: OCI", writer="buildah", make=_buildah_layout("oci")),
    Kind(name="buildah: oci-archive", writer="buildah", make=_buildah_archive("oci-archive")),
    Kind(name="buildah: docker-archive", writer="buildah", make=_buildah_archive("docker-archive")),
    Kind(name="dockerd: save", writer="dockerd", make=_docker_save),
    Kind(name="dockerd: save, compressed", writer="dockerd", make=_docker_save_gzip),
    Kind(name="skopeo: OCI", writer="skopeo", make=_skopeo("oci")),
    Kind(name="skopeo: OCI, zstd", writer="skopeo", make=_skopeo("oci", "--dest-compress-format", "zstd")),
    Kind(name="skopeo: oci-archive", writer="skopeo", make=_skopeo("oci-archive")),
    Kind(name="skopeo: docker-archive", writer="skopeo", make=_skopeo("docker-archive")),
]  # fmt: skip
