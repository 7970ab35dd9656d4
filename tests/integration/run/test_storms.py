"""Storms of asynchronous exits over programs that check themselves; runtimes that start and stop."""

from __future__ import annotations

import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.programs import REPOSITORY, go_program, need, need_root, static_musl
from support.scale import scaled
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from support.tee import TeeTree

pytestmark = pytest.mark.integration

SOURCES = Path(__file__).parent / "storms"
BUILD = REPOSITORY / "samples" / "build.sh"
INTERRUPT = signal.SIGRTMAX - 2
"""What the PAL sends to its own threads (native/pal/sim.c)."""
PAUSE_US = 20


def _add_node(rootfs: Path) -> None:
    node = shutil.which("node")
    if node is None:
        return
    listed = subprocess.run(["ldd", node], capture_output=True, text=True, check=True).stdout
    for word in {node, *(word for word in listed.split() if word.startswith("/"))}:
        target = rootfs / word.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(word).resolve(), target)
    shutil.copy(SOURCES / "storm.js", rootfs / "storm.js")


@pytest.fixture(scope="module")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Converter:
    """Return the command with folders of its own."""
    need("umoci", "skopeo")
    return Converter.create(tmp_path_factory.mktemp("tee"))


@pytest.fixture(scope="module")
def storms(tmp_path_factory: pytest.TempPathFactory, converter: Converter) -> TeeTree:
    """Return the programs that check themselves as one debug TEE image."""
    need("go", "gcc")
    base = tmp_path_factory.mktemp("storms")
    rootfs = base / "rootfs"
    (rootfs / "bin").mkdir(parents=True)
    static_musl(SOURCES / "vectors.c", rootfs / "bin" / "vectors")
    (base / "go").mkdir()
    shutil.copy(SOURCES / "storm.go", base / "go")
    go_program(base / "go", rootfs / "bin" / "storm")
    _add_node(rootfs)
    image = ordinary_image(base / "layout", rootfs, config=["--config.cmd", "/bin/vectors"])
    return converter.tree(image, "storms", "--debug", "--allow-args", "--set", "memory=4G")


@pytest.fixture(scope="module")
def interrupter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program that makes the exits."""
    need("gcc")
    program = tmp_path_factory.mktemp("interrupt") / "interrupt"
    subprocess.run(["gcc", "-O2", SOURCES / "interrupt.c", "-o", program], check=True)
    return program


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(("/bin/vectors",), id="AVX-512, masks and the red zone"),
        pytest.param(("/bin/storm",), id="go"),
        pytest.param(("/usr/bin/node", "/storm.js"), id="node"),
    ],
)
def test_storm_of_asynchronous_exits_corrupts_nothing(
    storms: TeeTree, interrupter: Path, argv: tuple[str, ...]
) -> None:
    if not (storms.root / argv[0].lstrip("/")).exists() and "node" in argv[0]:
        need("node")
    exits = scaled(100_000)
    with storms.start(*argv, stdin=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == b"begun\n"  # before, the signal has no handler
            sent = subprocess.run(
                [interrupter, str(program.pid), str(INTERRUPT), str(exits), str(PAUSE_US)],
                capture_output=True, text=True, check=False, timeout=1200,
            )  # fmt: skip
            output, errors = program.communicate(timeout=120)
        finally:
            program.kill()
    assert (program.returncode, output) == (0, b"storm ok\n"), errors.decode(errors="replace")
    assert int(sent.stdout) == exits


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A sample, the tools that build it, how its output begins, and how often it is started."""

    sample: str
    tools: tuple[str, ...]
    line: str
    starts: int

    def build(self, converter: Converter, folder: Path) -> TeeTree:
        """Return the sample as a debug TEE image."""
        need(*self.tools)
        need_root()
        layout = folder / "layout"
        subprocess.run(
            [BUILD, self.sample, layout], env=converter.environment, check=True, capture_output=True
        )
        return converter.tree(f"oci:{layout}:1", self.sample, "--debug", "--set", "memory=4G")


OFTEN = scaled(1000)
SELDOM = scaled(scaled(1000))
"""Of those that take seconds to build and to start; as many at full scale."""
WORTH_IT = 10

RUNTIMES = (
    Runtime(sample="hello", tools=("musl-gcc",), line="An ordinary image", starts=OFTEN),
    Runtime(sample="goroutines", tools=("go",), line="1000 goroutines", starts=OFTEN),
    Runtime(sample="python", tools=("/usr/bin/python3",), line="Hello from Python:", starts=SELDOM),
    Runtime(sample="node", tools=("node",), line="Hello from Node: 64 digits", starts=SELDOM),
    Runtime(sample="java", tools=("javac", "jlink"), line="Hello from Java:", starts=SELDOM),
)


@pytest.mark.parametrize("runtime", RUNTIMES, ids=lambda runtime: runtime.sample)
def test_runtime_starts_and_stops_each_time(tmp_path: Path, converter: Converter, runtime: Runtime) -> None:
    if runtime.starts < WORTH_IT:
        pytest.skip("its sample is started once by test_samples, and often by `make test-long`")
    tree = runtime.build(converter, tmp_path)
    for _ in range(runtime.starts):
        done = tree.run()
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        assert runtime.line in done.stdout.decode()
