"""The front end: rune is runc for ordinary bundles, the Python part for TEE bundles, and refuses in doubt."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.rune import RuneInstallation

pytestmark = pytest.mark.integration

RUN = '{"ordinary": "run"}'
EMPTY_PLAN = '{"version": 2, "folder": false, "holds": null, "conditions": [], "changes": []}'


@pytest.fixture
def recorders(tmp_path: Path, installation: RuneInstallation) -> Callable[..., str]:
    """Run a copy of rune whose runc and Python part only tell that they ran; asked for a plan, this wants
    nothing changed.

    This runc knows no container, unless ``state`` of the folder has an answer.
    """
    folder = tmp_path / "recorders"
    folder.mkdir()
    shutil.copy(installation.rune, folder / "rune")
    unknown = "container does not exist"
    state = (
        f'case " $* " in *" state -- "*) cat {folder}/state || {{ echo {unknown} >&2; exit 1; }}; exit;; esac'
    )
    asked = folder / "asked"
    answers = f"--plan) echo '{EMPTY_PLAN}'; exit;; --ordinary) echo '{RUN}'; exit;;"
    plan = f"touch {asked}; case $1 in {answers} esac"
    for name, first in (("runc", state), ("enclavize-rune", plan)):
        (folder / name).write_text(f'#!/bin/sh\n{first}\necho "{name} $*"\n')
        (folder / name).chmod(0o755)

    def run(*arguments: str | Path, cwd: Path | None = None) -> str:
        asked.unlink(missing_ok=True)
        done = subprocess.run(
            [folder / "rune", *arguments],
            env={"ENCLAVIZE_RUNC": str(folder / "runc"), "PATH": "/usr/bin:/bin"},
            cwd=cwd or tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return "enclavize-rune" if asked.exists() else done.stdout.partition(" ")[0]
        return "refused" if done.returncode in (1, 255) else f"exit code {done.returncode}"

    return run


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    (folder / "rootfs" / ".enclave").mkdir(parents=True)
    (folder / "rootfs" / ".enclave" / "enclave.json").write_text("{}")
    _configure(folder, '{"root": {"path": "rootfs"}}')
    return folder


def _configure(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)


@pytest.mark.parametrize(
    "arguments",
    [
        "create --bundle B ID",
        "--root R --log L --log-format json create --bundle B --pid-file P ID",
        "--root R create --bundle B --pid-file P --console-socket S ID",
        "--log=L run --bundle=B ID",
        "-root R run -b B -d ID",
        "run ID -bundle B",
        "--systemd-cgroup --rootless auto create --no-pivot --bundle B ID",
        "-- create --bundle B ID",
        "--root R -- run --bundle B -- ID",
        "create --bundle elsewhere --bundle B ID",
    ],
)
def test_creating_a_tee_container_goes_to_the_python_part(
    recorders: Callable[..., str], bundle: Path, arguments: str
) -> None:
    words = [str(bundle) if word == "B" else word for word in arguments.replace("=B", f"={bundle}").split()]
    assert recorders(*words) == "enclavize-rune"


@pytest.mark.parametrize(
    "arguments",
    ["--simulate create -b B ID", "--config C --simulate --log L run -b B ID", "-config=C create -b B ID"],
)
def test_own_options_are_taken_out(
    recorders: Callable[..., str], bundle: Path, tmp_path: Path, arguments: str
) -> None:
    for name, answer in (("runc", ""), ("enclavize-rune", EMPTY_PLAN)):
        (tmp_path / "recorders" / name).write_text(
            f'#!/bin/sh\necho "$ENCLAVIZE_SIMULATE $ENCLAVIZE_RUNE_CONFIG $*" >{tmp_path}/{name}\n'
            f"echo '{answer}'\n"
        )
    words = [str(bundle) if word == "B" else word for word in arguments.split()]
    recorders(*words)
    for name in ("runc", "enclavize-rune"):
        said = (tmp_path / name).read_text()
        assert "--" not in said.replace("--log L", "").replace("--plan", "")
        assert ("1" in said.split(" ")[0]) == ("--simulate" in arguments)
        assert (" C " in said) == ("config" in arguments)


@pytest.mark.parametrize(
    "arguments", ["--simulate=false create -b B ID", "--config= create -b B ID", "create --simulate -b B ID"]
)
def test_own_options_in_another_form_are_refused(
    recorders: Callable[..., str], bundle: Path, arguments: str
) -> None:
    assert recorders(*(str(bundle) if word == "B" else word for word in arguments.split())) == "refused"


def test_nothing_begins_whose_parent_has_ended(recorders: Callable[..., str], bundle: Path) -> None:
    assert recorders("--parent", str(os.getpid()), "run", "-b", str(bundle), "ID") == "enclavize-rune"
    assert recorders("--parent", str(os.getppid()), "run", "-b", str(bundle), "ID") == "refused"


ASKS = {
    "ENCLAVE_TYPE": '{"process": {"env": ["A=1", "ENCLAVE_TYPE=intelSgx"]}}',
    "RUNE_CARRIER": '{"process": {"env": ["RUNE_CARRIER=occlum"]}}',
    "ENCLAVE_RUNTIME_PATH": '{"Process": {"ENV": ["ENCLAVE_RUNTIME_PATH=/lib/x.so"]}}',
    "an escape": '{"process": {"env": ["\\u0045NCLAVE_TYPE=intelSgx"]}}',
    "a long value": '{"process": {"env": ["ENCLAVE_TYPE=' + "x" * 5000 + '"]}}',
    "enclave.type": '{"annotations": {"enclave.type": "intelSgx"}}',
    "enclave.runtime.args": '{"annotations": {"a": "b", "enclave.runtime.args": "x"}}',
    "an annotation of an application": '{"annotations": {"io.kubernetes.cri.container-type": "container", '
    '"enclave.type": "intelSgx"}}',
}
SANDBOX = (
    '{"annotations": {"enclave.type": "intelSgx", "%s": "sandbox"}, "process": {"env": ["RUNE_CARRIER=x"]}}'
)
DOES_NOT_ASK = {
    "nothing": '{"process": {"env": ["A=1"]}}',
    "empty": '{"process": {"env": ["ENCLAVE_TYPE=", "RUNE_CARRIER"]}, "annotations": {"enclave.type": ""}}',
    "a longer name": '{"process": {"env": ["ENCLAVE_TYPES=intelSgx", "MY_RUNE_CARRIER=1"]}}',
    "another annotation": '{"annotations": {"my.enclave.type": "intelSgx"}}',
    "a sandbox of containerd": SANDBOX % "io.kubernetes.cri.container-type",
    "a sandbox of CRI-O": SANDBOX % "io.kubernetes.cri-o.ContainerType",
    "null": '{"process": {"env": null}, "annotations": null}',
}


@pytest.fixture
def plain(bundle: Path) -> Path:
    """An ordinary bundle."""
    shutil.rmtree(bundle / "rootfs" / ".enclave")
    return bundle


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize("command", ["create", "run"])
def test_who_asks_for_an_enclave_never_gets_a_plain_container(
    recorders: Callable[..., str], plain: Path, name: str, command: str
) -> None:
    _configure(plain, ASKS[name])
    assert recorders(command, "--bundle", plain, "ID") == "refused"


@pytest.mark.parametrize("name", DOES_NOT_ASK)
def test_who_asks_for_none_is_left_to_runc(recorders: Callable[..., str], plain: Path, name: str) -> None:
    _configure(plain, DOES_NOT_ASK[name])
    assert recorders("create", "--bundle", plain, "ID") == "runc"


@pytest.mark.parametrize("text", ['{"process": {"env": ["A=1",]', '{"annotations": {"a" "b"}}', "["])
def test_what_cannot_be_read_is_refused_or_runcs(
    recorders: Callable[..., str], plain: Path, text: str
) -> None:
    _configure(plain, text)
    assert recorders("create", "--bundle", plain, "ID") in ("refused", "runc")


@pytest.mark.parametrize(
    ("settings", "who"),
    [
        ('log_level = "error"', "runc"),
        ('ordinary = "run"', "enclavize-rune"),
        ('"\\u006frdinary" = "refuse"', "enclavize-rune"),
        ("x" * (2 << 20), "enclavize-rune"),
    ],
)
def test_the_python_part_judges_ordinary_containers_where_settings_may_say_something(
    recorders: Callable[..., str], plain: Path, tmp_path: Path, settings: str, who: str
) -> None:
    (tmp_path / "config.toml").write_text(settings)
    assert recorders("--config", tmp_path / "config.toml", "create", "-b", plain, "ID") == who


@pytest.mark.parametrize(
    "settings",
    [
        'ordinary = "convert"',
        '# why\nlog_level = "error"\n\tordinary="convert" # all of them\n[min_libos]\nbuiltin = "0.1.0"\n',
    ],
)
def test_without_a_daemon_nothing_is_converted_and_nothing_runs(
    recorders: Callable[..., str], plain: Path, tmp_path: Path, settings: str
) -> None:
    (tmp_path / "config.toml").write_text(settings)
    words = ("--log", tmp_path / "log", "--config", tmp_path / "config.toml")
    for text in ("{}", ASKS["RUNE_CARRIER"]):
        _configure(plain, text)
        node = ("--node-socket", tmp_path / "absent")
        assert recorders(*words, *node, "create", "-b", plain, "ID") == "refused"
        assert f"daemon at {tmp_path}/absent does not answer: No such file" in (tmp_path / "log").read_text()
    _configure(plain, SANDBOX % "io.kubernetes.cri.container-type")
    assert recorders(*words, "create", "-b", plain, "ID") == "runc"


@pytest.mark.parametrize(
    "settings",
    [
        '[min_libos]\nordinary = "convert"',
        'ordinary = "convert" "x"',
        "ordinary = 'convert'",
        'extraordinary = "convert"',
        '"ordinary" = "convert"',
    ],
)
def test_what_is_not_clearly_conversion_is_the_python_parts_to_tell(
    recorders: Callable[..., str], plain: Path, tmp_path: Path, settings: str
) -> None:
    (tmp_path / "config.toml").write_text(settings)
    assert recorders("--config", tmp_path / "config.toml", "create", "-b", plain, "ID") == "enclavize-rune"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b'{"version":1,"error":"no rule","hint":"see x"}\n', "no rule; see x"),
        (b'{"version":1,"error":"no rule","hint":null}\n', 'level=error msg="no rule"'),
        (b'{"version":1,"tree":"relative"}\n', "is not of the version of rune"),
        (b'{"version":1}\n', "is not of the version of rune"),
        (b"nonsense", "is not of the version of rune"),
        (b'{"tree":"/absent"}', "cannot find the folder of the converted image"),
        (b'{"tree":"/usr"}', "has no readable /.enclave"),
        (b"", "ended before it had answered"),
        (b"x" * 70_000, "ended before it had answered"),
    ],
)
def test_a_daemon_that_answers_otherwise(
    recorders: Callable[..., str], plain: Path, tmp_path: Path, answer: bytes, message: str
) -> None:
    (tmp_path / "config.toml").write_text('ordinary = "convert"\n')
    _configure(plain, '{"root": {"path": "rootfs"}}')
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/s")
        listener.listen()
        asked: list[bytes] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                asked.append(connection.recv(65536))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        words = ("--log", tmp_path / "log", "--config", tmp_path / "config.toml")
        node = ("--node-socket", Path(folder) / "s")
        assert recorders(*words, *node, "create", "-b", plain, 'ID"x') == "refused"
        thread.join()
    request = {"version": 1, "operation": "convert", "id": 'ID"x', "bundle": str(plain)}
    assert json.loads(asked[0]) == request
    assert message in (tmp_path / "log").read_text()


def test_a_log_file_is_there_before_anything_else(
    recorders: Callable[..., str], plain: Path, tmp_path: Path
) -> None:
    recorders("--log", tmp_path / "log.json", "create", "--bundle", plain, "ID")
    assert (tmp_path / "log.json").read_bytes() == b""


def test_a_python_part_that_cannot_be_started_is_named(
    recorders: Callable[..., str], bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "recorders" / "enclavize-rune").write_text("#!/nonexistent/python\n")
    assert recorders("--log", tmp_path / "log", "create", "--bundle", bundle, "ID") == "refused"
    assert f"cannot run {tmp_path}/recorders/enclavize-rune: No such file" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        "start ID", "state ID", "kill ID 15", "kill --all ID 9", "delete --force ID", "list", "features", "",
        "ps --format json ID", "pause ID", "resume ID", "update --resources - ID", "events ID", "spec",
        "exec --process P --detach ID", "exec ID run", "checkpoint ID", "--help",
    ],
)  # fmt: skip
def test_all_else_goes_to_runc(recorders: Callable[..., str], bundle: Path, arguments: str) -> None:
    assert recorders(*arguments.split(), cwd=bundle) == "runc"


@pytest.mark.parametrize(
    "arguments",
    [
        "--new V exec ID sh",  # of a future runc: the command is V, or exec
        "--root R --new exec ID sh",
        "--version=false exec ID sh",
        "exec --new V ID sh",
        "-new create --bundle B ID",
        "create --new --bundle B ID",
        "create --bundle - B ID",  # urfave/cli moves B behind --bundle
        "create --pid-file --bundle --bundle B ID",
        "checkpoint --new ID",
        "restore --work-path - ID",
    ],
)
def test_what_runc_may_read_in_another_way_is_refused(
    recorders: Callable[..., str], bundle: Path, arguments: str
) -> None:
    words = [str(bundle) if word == "B" else word for word in arguments.split()]
    assert recorders(*words) == "refused"


def test_runc_reads_the_command_line_as_rune_does(
    recorders: Callable[..., str], tmp_path: Path, bundle: Path
) -> None:
    """These are the forms that rune once read in another way than runc."""
    (tmp_path / "state").mkdir()
    for arguments in (("--", "list"), ("--version=false", "list")):
        done = subprocess.run(["runc", *arguments], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("ID ")
    recorders("--root", "state", "create", "--bundle", "elsewhere", "--bundle", "", "ID", cwd=bundle)
    command: list[str | Path] = ["runc", "--root", tmp_path / "state", "create", "--bundle", "/absent"]
    command += ["--bundle", "", "ID"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "JSON specification file config.json not found" in done.stderr  # looked for in tmp_path


def test_the_bundle_is_the_working_directory_by_default(recorders: Callable[..., str], bundle: Path) -> None:
    assert recorders("create", "ID", cwd=bundle) == "enclavize-rune"
    assert recorders("create", "--bundle", "elsewhere", "--bundle", "", "ID", cwd=bundle) == "enclavize-rune"
    assert recorders("create", "ID", cwd=bundle.parent) == "runc"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"root":{"path":"root\\u0066s"}}', "enclavize-rune"),
        ('{"a":[{"b":"}\\"]"},1e5,null,true],"ROOT" : {"x":{},"Path":"./rootfs/"}}', "enclavize-rune"),
        ('\ufeff{"root":{"path":"rootfs"}}', "refused"),
        ('{"root":{"path":"other"}}', "runc"),
        ('{"process":{"root":{"path":"rootfs"}}}', "runc"),
        ('{"root":{}}', "runc"),
        ("{}", "runc"),
        ("", "runc"),
        ('{"root":{"path":7}}', "refused"),
        ('{"root":{"path":"rootfs\\u0000x"}}', "refused"),
        ('{"root":{"path":"other"},"root":{"path":"rootfs"}}', "refused"),
        ('{"root":{"path":"other","PATH":"rootfs"}}', "refused"),
        ('{"root":{"path":"rootfs"}', "refused"),
        ('{"root":{"path":"rootfs', "refused"),
        ('{"root":{"path":"link/../rootfs"}}', "refused"),
        ("[" * 100_000, "refused"),
        ("nonsense", "refused"),
    ],
)
def test_the_root_is_found_in_any_form_of_json(
    recorders: Callable[..., str], bundle: Path, text: str, expected: str
) -> None:
    _configure(bundle, text)
    assert recorders("create", "--bundle", bundle, "ID") == expected


def test_random_configurations(recorders: Callable[..., str], bundle: Path) -> None:
    """A well-formed one is understood however it is written; a damaged one never makes rune crash."""
    random = Random(5)
    for _ in range(scaled(2000)):
        members = [(_text(random), _value(random, 3)) for _ in range(random.randrange(4))]
        members = [(name, value) for name, value in members if name.lower() != "root"]
        members.insert(
            random.randrange(len(members) + 1), ("root", {_text(random) + "x": 1, "path": "rootfs"})
        )
        text = json.dumps(
            dict(members),
            ensure_ascii=random.random() < 0.5,
            indent=random.choice([None, 0, 3]),
            separators=random.choice([(",", ":"), (" , ", " :\t")]),
        )
        _configure(bundle, text)
        assert recorders("create", "--bundle", bundle, "ID") == "enclavize-rune", text
        damaged = bytearray(text.encode())
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(len(damaged))
            damaged[at : at + random.randrange(3)] = random.randbytes(random.randrange(3))
        (bundle / "config.json").write_bytes(damaged)
        assert recorders("create", "--bundle", bundle, "ID") in ("enclavize-rune", "runc", "refused")


def _text(random: Random) -> str:
    return "".join(random.choice('ab{}[]",:\\/ \té€😀\x01') for _ in range(random.randrange(6)))


def _value(random: Random, depth: int) -> object:
    match random.randrange(6 if depth else 4):
        case 0:
            return _text(random)
        case 1:
            return random.choice([True, False, None])
        case 2:
            return random.randrange(-(10**20), 10**20)
        case 3:
            return random.random() * 1e10
        case 4:
            return [_value(random, depth - 1) for _ in range(random.randrange(4))]
        case _:
            return {_text(random): _value(random, depth - 1) for _ in range(random.randrange(4))}


def test_an_absolute_root_and_one_behind_a_link(recorders: Callable[..., str], bundle: Path) -> None:
    (bundle / "link").symlink_to("rootfs")
    for path in (bundle / "rootfs", "link"):
        _configure(bundle, json.dumps({"root": {"path": str(path)}}))
        assert recorders("create", "--bundle", bundle, "ID") == "enclavize-rune"


def test_the_bundle_itself_as_root(recorders: Callable[..., str], bundle: Path) -> None:
    """runc joins an empty path to that of the bundle."""
    _configure(bundle / "rootfs", '{"root": {"path": ""}}')
    assert recorders("create", "--bundle", bundle / "rootfs", "ID") == "enclavize-rune"


def test_only_a_regular_file_without_links_makes_a_tee_bundle(
    recorders: Callable[..., str], bundle: Path
) -> None:
    description = bundle / "rootfs" / ".enclave" / "enclave.json"
    description.rename(bundle / "rootfs" / "elsewhere")
    description.symlink_to("/elsewhere")
    assert recorders("create", "--bundle", bundle, "ID") == "runc"
    description.unlink()
    description.mkdir()
    assert recorders("create", "--bundle", bundle, "ID") == "runc"
    shutil.rmtree(bundle / "rootfs" / ".enclave")
    (bundle / "rootfs" / ".enclave").symlink_to(bundle)
    assert recorders("create", "--bundle", bundle, "ID") == "runc"


def test_a_refusal_stands_in_the_log(bundle: Path, tmp_path: Path, installation: RuneInstallation) -> None:
    _configure(bundle, '{"root": {"path": 7}}')
    for form in ("json", "text"):
        log = tmp_path / f"log.{form}"
        done = installation.run("--log", log, "--log-format", form, "create", "--bundle", bundle, "ID")
        assert done.returncode == 1
        assert "root.path" in done.stderr
        assert "root.path" in (json.loads(log.read_text())["msg"] if form == "json" else log.read_text())
