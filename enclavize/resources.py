"""Where the project's data files are, in a checkout and in an installed wheel."""

from pathlib import Path

from enclavize.errors import EnclavizeError

_PACKAGE = Path(__file__).parent


def data_dir(name: str) -> Path:
    """Return a folder such as ``libos_profiles``: packaged, or the checkout's."""
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def native_file(name: str) -> Path:
    """Return the path of a file built from ``native/``. Raises EnclavizeError where it is missing."""
    path = _PACKAGE / "_native" / name
    if not path.is_file():
        raise EnclavizeError(
            f"the native component {name} has not been built",
            hint="reinstall enclavize, or run 'make native' in a checkout",
        )
    return path
