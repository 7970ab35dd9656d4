"""The list of a PAL that is installed on this machine, for ``pals`` of rune's settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import UsageError
from enclavize.libos.occlum.build import SgxMode
from enclavize.libos.toolchain import occlum
from enclavize.libos.toolchain.closure import LIBRARY_FOLDERS, add_closure
from enclavize.libos.toolchain.folder import FolderTree
from enclavize.resources import native_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from enclavize.libos.toolchain.located import Located
    from enclavize.libos.toolchain.tree import Found, Tree
    from enclavize.progress import Reporter

PAL = "libocclum-pal.so"
"""By which Inclavare's users name it, in both modes."""

_HOST = "host"
_RUNELET = "runelet-pal"
_LOADED_LATER = (
    "libsgx_enclave_common.so.1", "libsgx_launch.so.1", "libsgx_epid.so.1", "libsgx_quote_ex.so.1",
    "libsgx_platform.so.1", "libsgx_dcap_ql.so.1", "libdcap_quoteprov.so.1",
    "libsgx_default_qcnl_wrapper.so.1",
)  # fmt: skip
"""What the SGX PSW loads by dlopen, as far as it is installed (rune/libenclave of Inclavare Containers)."""


def write_pal_list(prefix: Path, *, simulation: bool, libraries: Sequence[Path], reporter: Reporter) -> str:
    """Return the list of the Occlum that is installed at ``prefix``, with ``libraries`` added.

    Raises UsageError if something is missing.
    """
    mode = SgxMode.SIMULATION if simulation else SgxMode.HARDWARE
    if not prefix.is_dir():
        raise UsageError(
            f"{prefix}: there is no such folder", hint="a PAL and its libraries are files of this machine"
        )
    machine = FolderTree(Path("/"))
    located = occlum.locate([FolderTree(prefix), machine])
    pal = located.files.get(f"lib/libocclum-pal{mode.suffix}.so") if located else None
    if located is None or pal is None or not located.version:
        raise UsageError(
            f"{prefix} has no libocclum-pal{mode.suffix}.so of a known version",
            hint="give the folder that Occlum is installed in, such as /opt/occlum",
        )
    found = _files(located, pal, machine, [] if simulation else _LOADED_LATER, libraries)
    digests = {
        tree.name: tree.contents([file for owner, file in found.values() if owner is tree], reporter)
        for tree in {id(tree): tree for tree, _ in found.values()}.values()
    }
    lines = [
        "# enclavize toolchain pal",
        'libos = "occlum"',
        f'version = "{located.version}"',
        f'mode = "{"simulation" if simulation else "hardware"}"',
        'exit_status = "wait"',
        'signals = ["TERM", "KILL"]',
        f'pal = "{PAL}"',
        f'loader = "{_loader(machine)}"',
        "",
        "[files]",
        *(
            f'"{name}" = {{ path = "{tree.name}{file.path}", '
            f'sha256 = "{digests[tree.name][file.path].sha256}" }}'
            for name, (tree, file) in sorted(found.items())
        ),
    ]
    return "".join(f"{line}\n" for line in lines)


def _files(
    located: Located, pal: tuple[Tree, Found], machine: Tree, later: Sequence[str], more: Sequence[Path]
) -> dict[str, tuple[Tree, Found]]:
    """Return the PAL and all that it and the runelet need, by the names that loaders look for."""
    own = [pal[1].path.rpartition("/")[0]]
    located.missing.clear()
    located.files = {f"{_HOST}/{PAL}": pal}
    runelet = machine.find(str(native_file(_RUNELET)).lstrip("/"))
    if runelet is None:
        raise UsageError(f"this installation has no {_RUNELET}")
    located.files[_RUNELET] = (machine, runelet)
    for path in more:
        file = machine.find(str(path.absolute()).lstrip("/"))
        if file is None:
            raise UsageError(f"--library {path}: there is no such file")
        located.files[f"{_HOST}/{path.name}"] = (machine, file)
    for name in later:
        for folder in LIBRARY_FOLDERS:
            if f"{_HOST}/{name}" not in located.files:
                located.take(f"{_HOST}/{name}", machine, f"{folder}/{name}", needed=False)
    for program in tuple(located.files):
        add_closure(located, _HOST, program, [pal[0], machine], own)
    if located.missing:
        names = ", ".join(sorted({path.rpartition("/")[2] for path in located.missing}))
        raise UsageError(
            f"the PAL needs {names}, which this machine does not have",
            hint="install it; libraries of the SGX SDK and PSW come with Intel's packages",
        )
    del located.files[_RUNELET]
    return {path.rpartition("/")[2]: place for path, place in located.files.items()}


def _loader(machine: Tree) -> str:
    """Return the name of the loader that the runelet is linked for."""
    file = machine.find(str(native_file(_RUNELET)).lstrip("/"))
    facts = machine.elf(file) if file is not None else None
    return facts.interpreter.rpartition("/")[2] if facts is not None else ""
