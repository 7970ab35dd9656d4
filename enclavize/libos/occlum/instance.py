"""Instance directories: what ``occlum new`` and ``occlum build`` make, without Occlum's programs.

Occlum.json  image/  initfs/                       what the user fills in
build/  run/  .sgx_mode                            what a build makes
"""

from __future__ import annotations

import json
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from enclavize.errors import UsageError
from enclavize.libos.occlum import init_ra, layout
from enclavize.libos.occlum.build import SgxMode, build
from enclavize.libos.occlum.capacity import capacity_warnings
from enclavize.libos.occlum.configuration import check_configuration, load_document, refusal
from enclavize.libos.occlum.initfs import HOSTS, init_tree
from enclavize.libos.occlum.libraries import lay_over, provided_by
from enclavize.libos.occlum.mount_targets import target_problems
from enclavize.libos.occlum.sefs.output import atomic_folder
from enclavize.libos.occlum.sefs.structures import InodeType
from enclavize.libos.occlum.sefs.tree import scan, walk
from enclavize.libos.occlum.template import template
from enclavize.libos.occlum.tree_builder import TreeBuilder, data_file
from enclavize.libos.occlum.versions import parse_release
from enclavize.libos.sdk_enclave import SdkEnclave
from enclavize.oci.storage import storage_errors
from enclavize.sgx.sigstruct import Sigstruct, bcd_date

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from enclavize.libos.occlum.build import Built, ImageKey
    from enclavize.libos.occlum.configuration import Configuration
    from enclavize.libos.occlum.sefs.tree import TreeNode
    from enclavize.libos.occlum.versions import Release
    from enclavize.libos.toolchain import Toolchain, ToolchainFile
    from enclavize.progress import Task

_IMAGE_DIRECTORIES = (
    b"bin", b"dev", b"etc", b"ext2", b"host", b"lib", b"lib64", b"proc", b"root", b"sbin", b"tmp",
)  # fmt: skip
_COPY_SIZE = 1 << 20
_LIBRARY_MODE = 0o644


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What is asked of a build besides what is in the directory. ``sign`` fills in a signature."""

    toolchain: Toolchain
    sign: Callable[[Sigstruct], Sigstruct]
    date: dt.date
    mode: SgxMode = SgxMode.HARDWARE
    edmm: bool = False
    image_key: ImageKey | None = None


def new_instance(folder: Path, toolchain: Toolchain, *, with_ratls: bool = False) -> None:
    """Make an instance directory to be filled in; ``with_ratls``: its init gets keys by remote attestation.

    Raises UsageError if it exists, or if the toolchain lacks files.
    """
    release = parse_release(toolchain.version)
    image = TreeBuilder()
    for directory in _IMAGE_DIRECTORIES:
        image.directory(directory)
    image.put(b"etc/hosts", data_file(HOSTS))
    lay_over(image, toolchain, provided_by(toolchain))
    init = init_tree(toolchain)
    if with_ratls:
        init_ra.require_release(release)
        init_ra.put_init(init, toolchain)
    with atomic_folder(folder) as instance:
        _write_tree(image.root(), instance / layout.IMAGE)
        _write_tree(init.root(), instance / layout.INITFS)
        (instance / layout.CONFIGURATION).write_bytes(
            (json.dumps(template(release), indent=4) + "\n").encode()
        )
        if with_ratls:
            (instance / layout.INIT_RA).write_bytes(init_ra.template())
        (instance / layout.STATUS).write_text("initialized\n")


def instance_configuration(
    folder: Path, release: Release, *, mode: SgxMode = SgxMode.HARDWARE, edmm: bool = False
) -> Configuration:
    """Check the Occlum.json of an instance directory. Raises UsageError."""
    if not (folder / layout.STATUS).is_file():
        raise UsageError(
            f"{folder} is no Occlum instance", hint="make one with: enclavize occlum new PATH --toolchain X"
        )
    configuration = check_configuration(load_document(folder / layout.CONFIGURATION), release, edmm=edmm)
    if configuration.edmm and mode is SgxMode.SIMULATION:
        raise UsageError("EDMM and simulation contradict each other", hint="there is no EDMM without a CPU")
    return configuration


def build_instance(folder: Path, request: BuildRequest, task: Task) -> Sigstruct:
    """Build and sign an instance; return what was signed. An earlier build is replaced, or stays as it is.

    Raises EnclavizeError.
    """
    toolchain, mode = request.toolchain, request.mode
    release = parse_release(toolchain.version)
    configuration = instance_configuration(folder, release, mode=mode, edmm=request.edmm)
    root = scan(folder / layout.IMAGE)
    init = _scanned(scan(folder / layout.INITFS))
    init.remove(layout.IMAGE_KEY)
    files = _configure_init_ra(folder / layout.INIT_RA, init, request, task)
    image = _scanned(root)
    if found := [*target_problems(image, configuration), *init_ra.folder_problems(image, files)]:
        raise refusal(found)
    setting = 'resource_limits.kernel_space_heap_size of Occlum.json: "{}MB"'
    for warning in capacity_warnings(configuration, len(image), setting=setting):
        task.warn(warning)
    with _replaced(folder / layout.BUILD) as output:
        built = build(
            output,
            configuration,
            toolchain,
            mode=mode,
            root=root,
            init=init,
            key=request.image_key,
            advance=task.advance,
        )
        signed = _sign(built, request, output)
        _add_libraries(output, built, toolchain, mode, release)
    with storage_errors("write", folder):
        shutil.rmtree(folder / layout.RUN, ignore_errors=True)
        for directory in run_directories(configuration.document):
            (folder / directory).mkdir(parents=True)
        (folder / layout.SGX_MODE).write_text(f"{mode.value}\n")
        (folder / layout.STATUS).write_text("built\n")
    return signed


def _configure_init_ra(path: Path, init: TreeBuilder, request: BuildRequest, task: Task) -> tuple[str, ...]:
    """Put the configuration of remote attestation into the init file system; return the files of its secrets.

    That of another init than ours is its own matter, and goes there as it is. Raises UsageError.
    """
    if init.get(init_ra.CLIENT) is None:
        if path.is_file():
            with storage_errors("read", path):
                init_ra.put_configuration(init, path.read_bytes())
        return ()
    if request.image_key and request.image_key.built_in:
        raise UsageError(
            "the init of this instance gets the image key by remote attestation",
            hint="leave --buildin-image-key out",
        )
    configuration = init_ra.load_ra_configuration(path)
    init_ra.put_configuration(init, configuration.text)
    if not configuration.verifies:
        task.warn(init_ra.NOT_VERIFIED)
    return configuration.files


def run_directories(document: Mapping[str, Any]) -> list[str]:
    """Return the directories below ``run`` that the LibOS wants to be there, sorted."""
    wanted = set(layout.RUN_DIRECTORIES)
    for mount in document["mount"]:
        for layer in (mount, *mount.get("options", {}).get("layers", ())):
            source = PurePosixPath(layer.get("source", ""))
            if layer["type"] == "sefs" and source.parts[:1] == (layout.RUN,) and ".." not in source.parts:
                wanted.add(str(source))
    return sorted(wanted)


def _sign(built: Built, request: BuildRequest, output: Path) -> Sigstruct:
    target = output / layout.SIGNED_ENCLAVE
    measured = SdkEnclave(path=target.name, image=built.enclave, config=built.config).measure()
    signed = request.sign(Sigstruct(measurement=measured.measurement, date=bcd_date(request.date)))
    file = measured.signed(signed)
    target.parent.mkdir()
    with file.open() as source:
        _write(source, target, _LIBRARY_MODE)
    return signed


def _add_libraries(output: Path, built: Built, toolchain: Toolchain, mode: SgxMode, release: Release) -> None:
    """Put libraries and programs where Occlum's own build has them; the names without a mode are links."""
    libos, pal = f"libocclum-libos{mode.suffix}.so", f"libocclum-pal{mode.suffix}.so"
    libraries, programs = output / "lib", output / "bin"
    programs.mkdir()
    (libraries / f"{libos}.{release}").write_bytes(built.enclave)
    _copy(toolchain.require(f"lib/{pal}"), libraries / f"{pal}.{release}")
    for file, plain in ((libos, "libocclum-libos.so"), (pal, "libocclum-pal.so")):
        (libraries / f"{plain}.{release.major}").symlink_to(f"{file}.{release}")
        (libraries / plain).symlink_to(f"{plain}.{release.major}")
    for name in layout.PROGRAMS:
        if (program := toolchain.files.get(f"bin/{name}")) is not None:
            _copy(program, programs / name)


def _copy(file: ToolchainFile, target: Path) -> None:
    with file.open() as source:
        _write(source, target, file.mode)


def _write(source: BinaryIO, target: Path, mode: int) -> None:
    with target.open("xb") as output:
        shutil.copyfileobj(source, output, _COPY_SIZE)
    target.chmod(mode)


def _scanned(root: TreeNode) -> TreeBuilder:
    return TreeBuilder({path[1:]: node for path, node in walk(root)})


def _write_tree(root: TreeNode, folder: Path) -> None:
    """Write a tree of our own making."""
    folder.mkdir()
    for path, node in walk(root):
        target = folder / path[1:].decode()
        match node.type:
            case InodeType.DIRECTORY:
                target.mkdir(mode=node.mode)
            case InodeType.SYMLINK:
                target.symlink_to(node.target.decode())
            case InodeType.FILE:
                with node.open() as content, target.open("xb") as output:
                    buffer = memoryview(bytearray(_COPY_SIZE))
                    while count := content.readinto(buffer):
                        output.write(buffer[:count])
                target.chmod(node.mode)


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """Give a new folder that takes the place of an old one if the block ends well."""
    with storage_errors("write", path):
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        temporary.mkdir()
        try:
            yield temporary
            if path.exists():
                old = path.with_name(f".{path.name}.{secrets.token_hex(6)}.old")
                path.rename(old)
                shutil.rmtree(old, ignore_errors=True)
            temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
