"""What an image tells engines besides its enclave is compared with it one by one, or refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from support.images import build_image, directory, file, symlink, write_layout
from support.programs import busybox
from support.tampering import TamperedImage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Built, Command

pytestmark = pytest.mark.integration

RUNELET = "/.enclave/bin/runelet"
ENCLAVE = (
    "/.enclave",
    "/.enclave/",
    "/.enclave/instance",
    "/.enclave/new/folder",
    "/",
    "/.",
    "//",
    "/x/../.enclave",
)
"""Places of volumes that would hide files of the enclave."""


@pytest.fixture(scope="module")
def linked(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return an image that has links to where its enclave will be."""
    base = tmp_path_factory.mktemp("linked")
    source = build_image(
        [
            [
                directory("bin"),
                file("bin/busybox", busybox().read_bytes(), 0o755),
                symlink("direct", ".enclave"),
                symlink("data", "/srv/data"),
                directory("srv"),
                symlink("srv/data", "../.enclave/instance"),
                symlink("top", "srv/.."),
                symlink("circle", "circle"),
            ]
        ],
        config={"Entrypoint": ["/bin/busybox"]},
    )
    write_layout(base / "source", {"1": source})
    layout = base / "layout"
    built.command.run(
        "build", f"oci:{base / 'source'}", "--key", built.key, "-o", f"type=oci,tar=false,dest={layout}"
    )
    return replace(built, layout=layout)


def refused(built: Built, copy: Path, change: Callable[[TamperedImage], object], code: int = 1) -> str:
    """Change a copy; return what verify says, which must refuse it."""
    image = TamperedImage(built.layout, copy)
    change(image)
    done = built.command.run("verify", image.save(), "--signer", built.public_key, code=code)
    assert "trusted" not in done.stdout
    return done.stderr


def execution(**members: Any) -> Callable[[TamperedImage], object]:
    """Return what sets members of the image's ``config``; None removes."""

    def change(image: TamperedImage) -> None:
        for name, value in members.items():
            image.config["config"].pop(name, None)
            if value is not None:
                image.config["config"][name] = value

    return change


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"Entrypoint": None, "Cmd": [RUNELET]}, "entrypoint"),
        ({"Entrypoint": [], "Cmd": [RUNELET]}, "entrypoint"),
        ({"Entrypoint": [RUNELET, "x"]}, "entrypoint"),
        ({"Entrypoint": ["/bin/busybox", RUNELET]}, "entrypoint"),
        ({"Entrypoint": [RUNELET.replace("/bin", "//bin")]}, "entrypoint"),
        ({"Cmd": [RUNELET]}, "command"),
        ({"Cmd": [""]}, "command"),
        ({"Env": ["A=b"]}, "environment"),
        ({"Env": ["ENCLAVIZE_SIMULATE=1"]}, "environment"),
        ({"WorkingDir": "/tmp"}, "working directory"),
        ({"WorkingDir": None}, "working directory"),
        ({"User": None}, "runs as '', which is 0:0, the enclave as 7:8:9"),
        ({"User": "12345"}, "runs as '12345'"),
        ({"User": "root"}, "runs as 'root'"),
        ({"User": "app:more"}, "runs as 'app:more', which is 7:9,"),
        ({"User": "7:8"}, "runs as '7:8', which is 7:8,"),
        ({"User": "nobody"}, "does not list"),
        ({"User": "99999999999"}, "runs as '99999999999'"),
        ({"StopSignal": None}, "stop signal 'SIGTERM'"),
        ({"StopSignal": "SIGKILL"}, "stop signal 'SIGKILL'"),
        ({"StopSignal": "NONE"}, "'NONE', which is no signal"),
        ({"Healthcheck": None}, "health check ['NONE']"),
        ({"Healthcheck": {"Test": ["NONE"]}}, "health check ['NONE']"),
        ({"Healthcheck": {"Test": ["CMD", "/bin/busybox"]}}, "health check"),
        ({"Healthcheck": {"Test": ["CMD", RUNELET, "exec", "--health"], "Interval": -1}}, "'Interval' of -1"),
        ({"Healthcheck": {"Test": ["CMD", RUNELET, "exec", "--health"], "Hook": 1}}, "'Hook' of 1"),
        ({"OnBuild": ["RUN evil"]}, "'OnBuild'"),
        ({"Shell": ["/bin/busybox"]}, "'Shell'"),
        ({"ArgsEscaped": True}, "'ArgsEscaped'"),
        ({"Hostname": "evil"}, "'Hostname'"),
        ({"Domainname": "evil"}, "'Domainname'"),
        ({"MacAddress": "02:42:ac:11:00:02"}, "'MacAddress'"),
        ({"NetworkDisabled": True}, "'NetworkDisabled'"),
        ({"StopTimeout": 1}, "'StopTimeout'"),
        ({"AttachStdin": True}, "'AttachStdin'"),
        ({"Tty": True}, "'Tty'"),
        ({"OpenStdin": True}, "'OpenStdin'"),
        ({"StdinOnce": True}, "'StdinOnce'"),
        ({"Memory": 4096}, "'Memory'"),
        ({"Image": "sha256:abc"}, "'Image'"),
        ({"Future": {"a": []}}, "'Future'"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
def test_what_engines_would_act_on_is_refused_and_named(
    built: Built, tmp_path: Path, members: dict[str, Any], words: str
) -> None:
    assert words in refused(built, tmp_path / "copy", execution(**members))


@pytest.mark.parametrize(
    "members", [{"container_config": {"Cmd": ["x"]}}, {"moby.buildkit.cache.v0": "x"}, {"future": 1}], ids=str
)
def test_what_no_build_writes_around_it_is_refused(
    built: Built, tmp_path: Path, members: dict[str, Any]
) -> None:
    assert "no build writes" in refused(built, tmp_path / "copy", lambda image: image.config.update(members))


@pytest.mark.parametrize("kind", ["label", "annotation"])
@pytest.mark.parametrize(
    "name",
    [
        "run.oci.handler", "module.wasm.image/variant", "org.systemd.property.DefaultDependencies",
        "org.criu.config", "containerd.io/restart.loguri", "io.podman.annotations.privileged",
        "io.containers.autoupdate", "seccomp-profile.kubernetes.cri-o.io/POD", "enclave.runtime.path",
        "userns-mode.crio.io", "org.enclavize.tee", "org.enclavize.rootfs",
    ],
)  # fmt: skip
def test_names_that_tools_act_on_are_refused(built: Built, tmp_path: Path, kind: str, name: str) -> None:
    def change(image: TamperedImage) -> None:
        place = image.config["config"]["Labels"] if kind == "label" else image.manifest["annotations"]
        place[name] = "binary:///evil"

    assert f"no build writes the {kind} {name}" in refused(built, tmp_path / "copy", change)


@pytest.mark.parametrize("layer", [0, -1])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("containerd.io/snapshot/stargz/toc.digest", "was converted to eStargz"),
        ("io.github.containers.zstd-chunked.manifest-checksum", "was converted to zstd:chunked"),
        ("containerd.io/snapshot/nydus-bootstrap", "has the annotation containerd.io/snapshot/nydus-boot"),
        ("com.amazon.soci.index-digest", "has the annotation com.amazon.soci"),
    ],
)
def test_nothing_takes_the_place_of_a_layer(
    built: Built, tmp_path: Path, layer: int, name: str, words: str
) -> None:
    """Engines that know a table of contents do not read the layer: its digest says nothing about it."""

    def change(image: TamperedImage) -> None:
        image.manifest["layers"][layer]["annotations"] = {name: "sha256:" + "ab" * 32}

    assert words in refused(built, tmp_path / "copy", change)


def test_names_for_people_are_theirs(built: Built, tmp_path: Path) -> None:
    image = TamperedImage(built.layout, tmp_path / "copy")
    for place in (image.config["config"]["Labels"], image.manifest["annotations"]):
        place |= {
            "maintainer": "me",
            "org.opencontainers.image.title": "x",
            "run.ocity": "y",
            "cri-o.iox/y": "z",
        }
    image.manifest["layers"][0]["annotations"] = {"buildkit/createdat": "2024"}
    built.command.run("verify", image.save(), "--signer", built.public_key)


def test_what_is_empty_or_informs_people_does_no_harm(built: Built, tmp_path: Path) -> None:
    image = TamperedImage(built.layout, tmp_path / "copy")
    image.config["config"] |= {
        "Hostname": "", "Tty": False, "OnBuild": None, "Shell": [], "StopTimeout": None, "Cmd": [],
        "User": "app:", "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/var/data": {}},
    }  # fmt: skip
    image.config["config"]["Healthcheck"] |= {"Retries": 3, "Timeout": None}
    image.config |= {"author": "me", "docker_version": "1.13", "container": "abc"}
    built.command.run("verify", image.save(), "--signer", built.public_key)


def test_other_spellings_of_the_same_user_and_signal_are_the_same(built: Built, tmp_path: Path) -> None:
    for members in ({"User": "7"}, {"StopSignal": "10"}, {"StopSignal": "usr1"}):
        image = TamperedImage(built.layout, tmp_path / "copy")
        image.config["config"] |= members
        built.command.run("verify", image.save(), "--signer", built.public_key)


@pytest.mark.parametrize("path", ENCLAVE)
def test_a_volume_that_hides_the_enclave_is_refused(built: Built, tmp_path: Path, path: str) -> None:
    change = execution(Volumes={"/data": {}, path: {}})
    assert f"a volume at {path}, which would hide its enclave" in refused(built, tmp_path / "copy", change)


@pytest.mark.parametrize(
    "path",
    ["/direct", "/direct/instance", "/data", "/data/x", "/srv/data", "/top/.enclave", "/top", "/circle/x"],
)
def test_links_on_the_way_to_the_enclave_are_followed(linked: Built, tmp_path: Path, path: str) -> None:
    change = execution(Volumes={path: {}})
    assert "would hide its enclave" in refused(linked, tmp_path / "copy", change)


def test_a_volume_beside_links_is_none_of_them(linked: Built, tmp_path: Path) -> None:
    image = TamperedImage(linked.layout, tmp_path / "copy")
    image.config["config"]["Volumes"] = {"/srv/other": {}, "/top/bin": {}, "/.enclavex": {}}
    linked.command.run("verify", image.save(), "--signer", linked.public_key)


def test_a_build_leaves_out_what_would_be_refused(command: Command, key: Path, tmp_path: Path) -> None:
    program = file("bin/busybox", busybox().read_bytes(), 0o755)
    volumes = [*ENCLAVE, "/data", "/data/y"]
    source = build_image(
        [[directory("bin"), program, symlink("data", ".enclave/x")]],
        config={
            "Entrypoint": ["/bin/busybox"], "Hostname": "abc", "Domainname": "d", "Tty": True,
            "OpenStdin": True, "AttachStdin": True, "StdinOnce": True, "Image": "sha256:abc",
            "NetworkDisabled": True,
            "MacAddress": "02:42:ac:11:00:02", "OnBuild": ["RUN x"], "Shell": ["/bin/busybox", "sh", "-c"],
            "StopTimeout": 3, "ArgsEscaped": True, "Memory": 1, "Future": "x",
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000, "Hook": 1, "Retries": -1},
            "ExposedPorts": {"80/tcp": {"x": 1}},
            "Volumes": {**{path: {} for path in volumes}, "/srv": {"x": 1}},
            "Labels": {"run.oci.handler": "krun", "org.enclavize.tee": "1", "maintainer": "me"},
        },
        change_config={
            "container_config": {"Cmd": ["x"]}, "docker_version": "1.13", "future": 1, "author": "me",
        },
    )  # fmt: skip
    write_layout(tmp_path / "plain", {"1": source})
    image = TamperedImage(tmp_path / "plain", tmp_path / "source")
    image.manifest["layers"][0]["annotations"] = {"io.containers.estargz.x": "y", "buildkit/createdat": "z"}
    image.save()
    layout = tmp_path / "layout"
    done = command.run(
        "build", f"oci:{tmp_path / 'source'}", "--key", key, "--force", "OCC051", "-o",
        f"type=oci,tar=false,dest={layout}",
    )  # fmt: skip
    assert "the volume /data/y of the image is left out: it would hide the enclave" in done.stderr
    command.run("verify", f"oci:{layout}", "--signer", key.with_name("key.pub.pem"))
    assert "the label run.oci.handler of the image is left out: engines act on it" in done.stderr
    written = TamperedImage(layout, tmp_path / "copy")
    assert written.manifest["layers"][0]["annotations"] == {"buildkit/createdat": "z"}
    config = written.config
    labels = {name for name in config["config"]["Labels"] if not name.startswith("org.enclavize.")}
    assert labels == {"maintainer"}
    assert "org.enclavize.tee" not in config["config"]["Labels"]
    assert config["config"]["Volumes"] == {"/srv": {}}
    assert config["config"]["ExposedPorts"] == {"80/tcp": {}}
    assert config["config"]["Healthcheck"] == {
        "Test": ["CMD", RUNELET, "exec", "--health"], "Interval": 5_000_000_000,
    }  # fmt: skip
    assert set(config["config"]) == {
        "Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "Volumes", "WorkingDir",
    }  # fmt: skip
    assert config["author"] == "me"
    assert not {"container_config", "docker_version", "future"} & config.keys()
