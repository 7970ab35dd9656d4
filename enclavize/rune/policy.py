"""What decides on a node which TEE images are admitted, and the digests by which a change of it is seen."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from enclavize.errors import EnclavizeError, UsageError
from enclavize.resources import data_dir
from enclavize.rootfs.names import printable
from enclavize.rune.settings import SETTINGS_FILE, Settings, read_settings, settings_file
from enclavize.rune.verdict import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from enclavize.rune.mode import Mode
    from enclavize.rune.pal_list import PalList
    from enclavize.tee.host_files import HostFiles
    from enclavize.tee.known_flaws import Flaw

_MAX_SIZE = 1 << 20
_OPTIONS = "options of enclavize run"


@dataclass(frozen=True, kw_only=True)
class NodePolicy:
    """``digests``: SHA-256 in hex by name of every file that decides, or "-" for one that is not there."""

    settings: Settings
    digests: Mapping[str, str]
    pals: tuple[PalList, ...] = ()
    chosen_host_files: tuple[HostFiles, ...] = ()

    def host_files(self) -> tuple[HostFiles, ...]:
        """Return what files outside of enclaves may be, of which one list must match. Raises UsageError.

        What a user chooses has to be among what the administrator has pinned, if that is anything.
        """
        from enclavize.tee.host_files import read_host_files

        pinned = tuple(map(read_host_files, self.settings.host_files))
        if not self.chosen_host_files:
            return pinned
        allowed = [listed.files for listed in pinned]
        chosen = tuple(item for item in self.chosen_host_files if not pinned or item.files in allowed)
        if not chosen:
            raise UsageError("the administrator of this machine trusts none of these files of digests")
        return chosen

    def pal_for(self, libos: str, version: str, mode: Mode | None = None) -> PalList:
        """Return the PAL that a release of a LibOS is run with; without ``mode`` that of any.

        Raises EnclavizeError if the administrator lists none.
        """
        listed = [pal for pal in self.pals if (pal.libos, pal.version) == (libos, version)]
        found = next((pal for pal in listed if mode in (None, pal.mode)), None)
        if found is not None:
            return found
        which = f"{printable(libos)[:40]} {printable(version)[:40]}"
        others = sorted({f"{pal.libos} {pal.version} for {pal.mode}" for pal in self.pals})
        raise EnclavizeError(
            f"this node lists no PAL for {which}{f' in {mode}' if mode else ''} "
            f"(listed: {', '.join(others) or 'none'})",
            hint=f"write a list with 'enclavize toolchain pal TOOLCHAIN', and name the file in pals of "
            f"{SETTINGS_FILE}",
        )

    def flaws_of(self, libos: str, version: str | None) -> tuple[Flaw, ...]:
        """Return the known flaws of a LibOS release that the node does not accept. Raises UsageError.

        ``version`` None: it is of no release that is known.
        """
        from enclavize.tee.known_flaws import UNKNOWN_RELEASE, known_flaws

        if version is None:
            found: tuple[Flaw, ...] = (UNKNOWN_RELEASE,)
        else:
            found = known_flaws(libos, version, self.settings.known_flaws)
        return tuple(flaw for flaw in found if flaw.id not in self.settings.allow_flaws)

    def narrowed(self, settings: Settings, host_files: tuple[HostFiles, ...] = ()) -> NodePolicy:
        """Return the policy as the options of a command line narrow it.

        Of ``host_files`` one must match, too, unless there are none.
        """
        options = hashlib.sha256(repr((settings, host_files)).encode()).hexdigest()
        digests = {**self.digests, _OPTIONS: options}
        return replace(self, settings=settings, digests=digests, chosen_host_files=host_files)


def load_policy(path: Path | None = None) -> NodePolicy:
    """Read the settings, those that count unless a file is given, and look at the files that they name.

    Raises EnclavizeError.
    """
    if path is None:
        path, required = settings_file()
    else:
        required = False
    data = read_pinned(path, missing_ok=not required)
    settings = Settings() if data is None else read_settings(data, path)
    return NodePolicy(
        settings=settings,
        digests={str(path): _digest(data), **_digests_of(settings)},
        pals=tuple(_pal_list(path) for path in settings.pals),
    )


def _pal_list(path: Path) -> PalList:
    from enclavize.rune.pal_list import read_pal_list

    return read_pal_list(read_pinned(path) or b"", path)


def read_pinned(path: Path, *, missing_ok: bool = False) -> bytes | None:
    """Return the content of a file that decides: regular, not too large, and not for others to change.

    Raises EnclavizeError.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(_MAX_SIZE + 1)
    except FileNotFoundError:
        if missing_ok:
            return None
        raise EnclavizeError(f"cannot read {path}: there is no such file") from None
    except OSError as error:
        raise EnclavizeError(f"cannot read {path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode) or len(data) > _MAX_SIZE:
        raise EnclavizeError(f"{path} is not a file of at most {_MAX_SIZE} bytes")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EnclavizeError(
            f"{path} decides what may run, and others can write to it", hint=f"chmod go-w {path}"
        )
    return data


def _digests_of(settings: Settings) -> dict[str, str]:
    named = (*settings.host_files, *settings.pals, *settings.known_flaws)
    digests = {str(path): _digest(read_pinned(path)) for path in named}
    # What tells the releases of the builtin LibOS, and their flaws.
    package = Path(__file__).parents[1]
    own = (
        data_dir("libos_profiles") / "known-flaws.toml",
        package / "tee" / "releases.toml",
        package / "_native" / "libos.so",
    )
    return {**digests, **{str(path): _digest(path.read_bytes() if path.exists() else None) for path in own}}


def _digest(data: bytes | None) -> str:
    return ABSENT if data is None else hashlib.sha256(data).hexdigest()
