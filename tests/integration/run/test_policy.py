"""What the host may influence is what the build allowed, and nothing else."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from support.programs import busybox, need, need_root
from support.tee import Converter, ordinary_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.tee import TeeTree

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def convert(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TeeTree]:
    need("umoci", "skopeo")
    need_root()
    base = tmp_path_factory.mktemp("policy")
    rootfs = base / "rootfs"
    (rootfs / "bin").mkdir(parents=True)
    (rootfs / "etc").mkdir()
    (rootfs / "etc" / "hosts").write_text("127.0.0.1 of-the-image\n")
    shutil.copy(busybox(), rootfs / "bin" / "busybox")
    source = ordinary_image(
        base / "layout",
        rootfs,
        config=("--config.entrypoint", "/bin/busybox", "--config.cmd", "env", "--config.env", "KEPT=image"),
    )
    converter = Converter.create(base)
    made: dict[tuple[str, ...], TeeTree] = {}

    def build(*options: str) -> TeeTree:
        if options not in made:
            made[options] = converter.tree(source, f"tee{len(made)}", *options)
        return made[options]

    return build


def test_arguments_are_refused_by_default(convert: Callable[..., TeeTree]) -> None:
    done = convert().run("echo", "hello")
    assert done.returncode != 0
    assert done.stdout == b""
    assert b"arguments are not allowed" in done.stderr


def test_arguments_equal_to_the_measured_ones_are_fine(convert: Callable[..., TeeTree]) -> None:
    assert convert().run("env").returncode == 0


def test_allowed_arguments_replace_the_command(convert: Callable[..., TeeTree]) -> None:
    assert convert("--allow-args").run("echo", "hello world").stdout == b"hello world\n"


def test_the_environment_of_the_host_is_dropped(convert: Callable[..., TeeTree]) -> None:
    output = convert().run(env={"KEPT": "host", "OTHER": "host", "LD_PRELOAD": "/evil.so"}).stdout.decode()
    assert "KEPT=image" in output
    assert "host" not in output
    assert "LD_PRELOAD" not in output
    assert "ENCLAVIZE" not in output


def test_an_allowed_name_passes_and_keeps_its_default(convert: Callable[..., TeeTree]) -> None:
    tree = convert("--allow-env", "KEPT", "--allow-env", "MORE", "--allow-env", "NODE_ENV")
    assert "KEPT=image" in tree.run().stdout.decode()
    given = {"KEPT": "host", "MORE": "yes", "OTHER": "no", "NODE_ENV": "production"}
    output = tree.run(env=given).stdout.decode()
    assert "KEPT=host" in output
    assert "MORE=yes" in output
    assert "NODE_ENV=production" in output  # which only sounds like NODE_OPTIONS
    assert "OTHER" not in output


def test_a_loader_like_name_must_be_called_unsafe(
    convert: Callable[..., TeeTree], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(AssertionError, match="unsafe"):
        convert("--allow-env", "LD_LIBRARY_PATH")
    output = (
        convert("--allow-env", "LD_LIBRARY_PATH:unsafe").run(env={"LD_LIBRARY_PATH": "/x"}).stdout.decode()
    )
    assert "LD_LIBRARY_PATH=/x" in output


def test_a_command_needs_an_enclave_that_runs(convert: Callable[..., TeeTree]) -> None:
    # Other runelets in this machine's namespaces would answer: this test has a network of its own.
    done = convert().run("exec", "--", "/bin/busybox", "id", wrapper=("unshare", "--net"))
    assert done.returncode == 126
    assert b"no runelet of this container answers" in done.stderr


def test_a_production_image_does_not_start_in_simulation_unless_asked(
    convert: Callable[..., TeeTree],
) -> None:
    done = convert().run(simulate=False)
    assert done.returncode != 0
    assert done.stdout == b""
    assert b"/dev/sgx_enclave" in done.stderr


def test_a_debug_image_falls_back_to_simulation_and_says_so(convert: Callable[..., TeeTree]) -> None:
    done = convert("--debug").run(simulate=False)
    assert done.returncode == 0
    assert b"protects NOTHING" in done.stderr


def test_simulation_says_that_it_protects_nothing(convert: Callable[..., TeeTree]) -> None:
    assert b"protects NOTHING" in convert().run().stderr


def test_detailed_logs_need_a_debug_enclave(convert: Callable[..., TeeTree]) -> None:
    def said_inside(*options: str) -> list[bytes]:
        done = convert(*options).run(env={"ENCLAVIZE_LOG_LEVEL": "debug", "OTHER": "x"})
        lines = [line for line in done.stderr.splitlines() if b"OTHER" in line]
        assert [line for line in lines if b"of this container" in line]  # the runelet's, outside
        return [line for line in lines if b"of this container" not in line]

    assert said_inside("--debug")
    assert not said_inside()
