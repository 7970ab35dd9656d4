"""``make image``: enclavize's own image, for the node's daemon (templates/kubernetes/node.yaml).

    python native/image.py OUTPUT.tar [NAME]

Python, enclavize with what it needs, the byte code of both, the shared libraries that these load, and
certificates: no distribution, no shell. The layer and the archive are written by enclavize itself, as it
reads ``dir:PATH`` and writes ``type=oci``; with SOURCE_DATE_EPOCH two builds give the same bytes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path

from enclavize.oci.archive_target import ArchiveStyle, ArchiveTarget
from enclavize.oci.cache import BlobCache
from enclavize.oci.execution import Execution
from enclavize.oci.location import DirectoryLocation
from enclavize.oci.resolve import resolve
from enclavize.oci.target import ImageToWrite, LayerToWrite
from enclavize.progress import Reporter

REPOSITORY = Path(__file__).parents[1]
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
PREFIX = Path("opt/python")
"""Python finds its library from where its program is."""

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
EXTRAS = "node,fast,pkcs11"

_LEFT_OUT = (
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo",
    "ensurepip", "lib2to3", "config-*", "*.a",
)  # fmt: skip
_OF_THE_INSTALLATION = ("RECORD", "direct_url.json")
"""Digests of scripts that name this machine's Python, and where the wheel was: others in each build."""

_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")
_SCRIPT = f"""#!/{PREFIX}/bin/{VERSION} -P
from enclavize.__main__ import main
main()
"""
_EXECUTION = Execution(entrypoint=("/usr/bin/enclavize",), env=("PATH=/usr/bin", "PYTHONDONTWRITEBYTECODE=1"))


def main(output: Path, name: str = "enclavize:latest") -> None:
    """Write the archive."""
    with tempfile.TemporaryDirectory(prefix="enclavize-image-") as scratch:
        root = Path(scratch) / "root"
        _add_python(root)
        _add_enclavize(root, Path(scratch) / "wheel")
        add_byte_code(root)
        _add_libraries(root)
        cache = BlobCache(Path(scratch) / "cache")
        image = resolve(DirectoryLocation(root, _EXECUTION), cache=cache, reporter=Reporter())
        with closing(image.source):
            layers = tuple(
                LayerToWrite(descriptor=layer, diff_id=diff_id, open=partial(cache.open, layer))
                for layer, diff_id in zip(image.layers, image.config.diff_ids, strict=True)
            )
            written = ImageToWrite(
                manifest_bytes=image.manifest_bytes,
                manifest_media_type=image.manifest.media_type,
                config_bytes=image.config_bytes,
                layers=layers,
                references=(name,),
            )
            output.parent.mkdir(parents=True, exist_ok=True)
            manifest = ArchiveTarget(output, ArchiveStyle.OCI).deliver(written, Reporter())
    sys.stdout.write(f"{output} ({output.stat().st_size >> 20} MiB): {name}@{manifest.digest}\n")


def _add_python(root: Path) -> None:
    base = Path(sys.base_prefix)
    (root / PREFIX / "bin").mkdir(parents=True)
    shutil.copy(base / "bin" / VERSION, root / PREFIX / "bin")
    shutil.copytree(
        base / "lib" / VERSION,
        root / PREFIX / "lib" / VERSION,
        symlinks=True,
        ignore=shutil.ignore_patterns(*_LEFT_OUT),
    )
    for folder in ("tmp", "run", "proc", "sys", "dev", "etc/ssl/certs", "var/lib", "usr/bin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/sbin/nologin\n")
    (root / "etc" / "group").write_text("root:x:0:\n")
    if CERTIFICATES.exists():
        shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))


def _add_enclavize(root: Path, wheels: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(REPOSITORY)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = wheels.glob("*.whl")
    target = root / PREFIX / "lib" / VERSION / "site-packages"
    install = ["install", "--no-compile", "--target", str(target), f"{wheel}[{EXTRAS}]"]
    subprocess.run([*pip, *install], check=True)
    shutil.rmtree(target / "bin", ignore_errors=True)
    for name in _OF_THE_INSTALLATION:
        for path in target.glob(f"*.dist-info/{name}"):
            path.unlink()
    script = root / "usr" / "bin" / "enclavize"
    script.write_text(_SCRIPT)
    script.chmod(0o755)


def add_byte_code(root: Path) -> None:
    """Compile all Python below PREFIX, with the same bytes in every build.

    The byte code says where its source will be, not where it was made, and nothing of the source's time
    ("unchecked hash-based", PEP 552): Python takes it without reading the source, which changes in no image.
    """
    command = [sys.executable, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, "-s", str(root), "-p", "/", str(root / PREFIX / "lib" / VERSION)], check=True)


def _add_libraries(root: Path) -> None:
    """Copy what is loaded by name, under the name by which it is found here."""
    programs = [root / PREFIX / "bin" / VERSION, *root.rglob("*.so"), *root.rglob("*.so.*")]
    found = set()
    for program in programs:
        done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        found |= {Path(path) for path in _LIBRARY.findall(done.stdout)}
    for library in found:
        if not library.is_relative_to(root):
            place = root / library.relative_to("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
