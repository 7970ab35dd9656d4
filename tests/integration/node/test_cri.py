"""Ordinary images under a kubelet's calls: they run in enclaves, signed by the signing service."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.node.sharing import ARTIFACT_TYPE
from enclavize.signing.keys import mrsigner, public_key_pem
from enclavize.signing.service.clients import hash_token
from support.cri import CriError
from support.engines import import_for_kubernetes
from support.guest import ORDINARY
from support.node import measured
from support.registry import PASSWORD, USERNAME, auth_entry, running_registry, write_docker_config
from support.scale import scaled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.cri import Cri, Pod
    from support.engines import Engine
    from support.node import Node
    from support.signing_service import Service

pytestmark = pytest.mark.integration

SIMULATION = "SIMULATION"


def _signed(service: Service) -> list[dict[str, Any]]:
    return [line for line in service.audit() if line["event"] == "signed"]


@pytest.fixture(scope="module")
def expected(node: Node, layout: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the MRENCLAVE that the rule gives the image, as it is told without the node."""
    return measured(f"oci:{layout}:1", node.rules, tmp_path_factory.mktemp("elsewhere"))


def test_an_ordinary_image_runs_in_an_enclave_whose_measurement_others_can_tell(
    cri: Cri, pod: Pod, node: Node, service: Service, expected: str
) -> None:
    ended = cri.run(pod, ORDINARY, args=["exit", "4"])
    assert ended.code == 4
    assert SIMULATION in ended.log
    conversion = node.status()["conversions"][0]
    assert conversion["mrenclave"] == expected
    assert conversion["mrsigner"] == mrsigner(service.client("node").public_key).hex()
    assert conversion["rule"] == "50-all.toml"
    assert conversion["image"]["name"] == ORDINARY
    assert [line["mrenclave"] for line in _signed(service)] == [expected]
    assert not node.leftovers()


def test_many_at_once_are_converted_once(cri: Cri, pod: Pod, node: Node, service: Service) -> None:
    node.run("forget", "--all")
    before, count = node.status()["converted"], max(4, scaled(20))
    with ThreadPoolExecutor(count) as pool:
        ended = list(pool.map(lambda _: cri.run(pod, ORDINARY, args=["exit", "3"]), range(count)))
    assert [item.code for item in ended] == [3] * count
    assert node.status()["converted"] == before + 1
    assert len(node.status()["conversions"]) == 1


def test_the_program_has_what_the_rule_opens(cri: Cri, pod: Pod, tmp_path: Path) -> None:
    env = {"TAKEN": "1", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    log = cri.run(pod, ORDINARY, args=["id", "a b"], env=env).log
    assert "argument a b" in log
    assert "variable TAKEN=1" in log
    assert "KUBERNETES" not in log
    tmp_path.chmod(0o777)
    assert cri.run(pod, ORDINARY, args=["put", "/data/x", "y"], mounts=[("/data", tmp_path)]).code == 0
    assert (tmp_path / "x").read_text() == "y\n"
    assert cri.run(pod, ORDINARY, args=["cat", "/mnt/x"], mounts=[("/mnt", tmp_path)]).code != 0


def test_commands(cri: Cri, pod: Pod) -> None:
    assert cri.run(pod, ORDINARY, command=["/bin/guest"], args=["exit", "6"]).code == 6
    for command in (["/bin/sh"], ["/bin/guest2", "exit"], ["/.enclave/bin/other"]):
        with pytest.raises(CriError, match=r"told to run .* the enclave runs"):
            cri.run(pod, ORDINARY, command=command)


def test_a_pod_narrows_and_never_widens(cri: Cri, pods: Callable[..., Pod]) -> None:
    narrow = pods(enclave_policy="allow-args = false\nallow-env = []\n")
    ended = cri.run(narrow, ORDINARY, args=["exit", "3"])
    assert ended.code == 126
    assert "arguments are not allowed by the measured policy" in ended.log
    for wish in ('allow-env = ["TAKEN", "MORE"]', "allow-exec = true", 'volume = ["/"]', "isvsvn = 1"):
        with pytest.raises(CriError, match=r"annotation enclave\.policy|absolute path below"):
            cri.run(pods(enclave_policy=wish), ORDINARY, args=["exit", "0"])


def test_pods_for_inclavare_run(cri: Cri, pod: Pod) -> None:
    env = {
        "RUNE_CARRIER": "occlum", "ENCLAVE_TYPE": "intelSgx",
        "ENCLAVE_RUNTIME_PATH": "/opt/occlum/build/lib/libocclum-pal.so",
        "ENCLAVE_RUNTIME_ARGS": "occlum_instance", "ENCLAVE_RUNTIME_LOGLEVEL": "info",
        "OCCLUM_RELEASE_ENCLAVE": "1",
    }  # fmt: skip
    ended = cri.run(pod, ORDINARY, command=["/bin/guest"], args=["id"], env=env, working_dir="/var/run/rune")
    assert ended.code == 0
    assert "cwd=/\n" in ended.log
    assert "ENCLAVE_" not in ended.log
    assert "variable OCCLUM" not in ended.log
    for name, value in (("RUNE_CARRIER", "nobodys"), ("ENCLAVE_TYPE", "sev"), ("ENCLAVE_RUNTIME_PATH", "/x")):
        with pytest.raises(CriError, match=value):
            cri.run(pod, ORDINARY, args=["id"], env={name: value})


def test_a_tag_that_moves_is_refused(
    cri: Cri, pod: Pod, containerd: Engine, layout: Path, tmp_path: Path
) -> None:
    """The other image has the same layers, and another configuration."""
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", layout, other], check=True)
    subprocess.run(
        ["umoci", "config", "--image", f"{other}:1", "--config.user", "7:7"], check=True, capture_output=True
    )
    container = cri.create(pod, ORDINARY, args=["exit", "0"], name="moved")
    import_for_kubernetes(containerd, other, ORDINARY)
    with pytest.raises(CriError, match="the name has moved"):
        cri.on("StartContainer", container)
    cri.on("RemoveContainer", container)
    assert "uid=7" in cri.run(pod, ORDINARY, args=["id"]).log
    import_for_kubernetes(containerd, layout, ORDINARY)
    assert "uid=0" in cri.run(pod, ORDINARY, args=["id"]).log


def test_an_image_with_an_enclave_of_its_own_is_refused(
    cri: Cri, pod: Pod, containerd: Engine, layout: Path, tmp_path: Path
) -> None:
    other, name = tmp_path / "other", "docker.io/library/own:1"
    subprocess.run(["cp", "-r", layout, other], check=True)
    (tmp_path / ".enclave" / "bin").mkdir(parents=True)
    (tmp_path / ".enclave" / "bin" / "runelet").write_text("mine")
    insert = ["umoci", "insert", "--image", f"{other}:1", str(tmp_path / ".enclave"), "/.enclave"]
    subprocess.run(insert, check=True, capture_output=True)
    import_for_kubernetes(containerd, other, name)
    with pytest.raises(CriError, match=r"has /\.enclave, where the files of the enclave go"):
        cri.run(pod, name, args=["exit", "0"])


@pytest.fixture
def other(layout: Path, tmp_path: Path) -> Path:
    """Return the layout of an image with one more layer."""
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", layout, other], check=True)
    (tmp_path / "file").write_text("more")
    insert = ["umoci", "insert", "--image", f"{other}:1", str(tmp_path / "file"), "/more"]
    subprocess.run(insert, check=True, capture_output=True)
    return other


def test_layers_that_containerd_has_thrown_away(cri: Cri, pod: Pod, containerd: Engine, other: Path) -> None:
    name = "docker.io/library/gone:1"
    import_for_kubernetes(containerd, other, name)
    containerd.run("--namespace", "k8s.io", "content", "rm", _layers(other)[-1], check=True)
    with pytest.raises(CriError, match=r"discard_unpacked_layers = false.*serve --fetch-layers"):
        cri.run(pod, name, args=["exit", "0"])
    import_for_kubernetes(containerd, other, name)
    assert cri.run(pod, name, args=["exit", "5"]).code == 5


@dataclass(frozen=True, kw_only=True)
class Remote:
    """An image that was pulled from a registry, which wants a password. Its layout has the tag 1."""

    name: str
    host: str
    layout: Path
    push: tuple[str, ...]


@pytest.fixture
def remote(containerd: Engine, other: Path) -> Iterator[Remote]:
    with running_registry(other.parent / "registry", htpasswd=True) as registry:
        push = ("skopeo", "copy", "-q", "--dest-tls-verify=false", f"--dest-creds={USERNAME}:{PASSWORD}")
        copied = other.parent / "copied"
        found = Remote(name=f"{registry.host}/gone:1", host=registry.host, layout=copied, push=push)
        subprocess.run([*push, f"oci:{other}:1", f"docker://{found.name}"], check=True)
        pull = ["skopeo", "copy", "-q", "--src-tls-verify=false", f"--src-creds={USERNAME}:{PASSWORD}"]
        subprocess.run([*pull, f"docker://{found.name}", f"oci:{copied}:1"], check=True)
        import_for_kubernetes(containerd, copied, found.name)
        yield found


def _let_in(node: Node, remote: Remote) -> None:
    """Give the daemon the password."""
    write_docker_config(node.folder / ".docker", {"auths": {remote.host: auth_entry()}})


def test_layers_are_fetched_from_the_registry_that_the_name_names(
    cri: Cri, pod: Pod, containerd: Engine, node: Node, remote: Remote
) -> None:
    """By digest: the tag has moved meanwhile. The node has no password for the registry, and then it has."""
    name, layout = remote.name, remote.layout
    change = ["umoci", "config", "--image", f"{layout}:1", "--tag", "2", "--config.user", "7:7"]
    subprocess.run(change, check=True, capture_output=True)
    subprocess.run([*remote.push, f"oci:{layout}:2", f"docker://{name}"], check=True)
    for layer in _layers(layout):
        containerd.run("--namespace", "k8s.io", "content", "rm", layer)
    node.restart("--fetch-layers")
    try:
        with pytest.raises(CriError, match=r"cannot be fetched: .*(credentials|denied|401|log in)"):
            cri.run(pod, name, args=["exit", "0"])
        assert not node.leftovers()
        _let_in(node, remote)
        assert cri.run(pod, name, args=["exit", "5"]).code == 5
        elsewhere = measured(f"oci:{layout}:1", node.rules, layout.parent, "--as", name)
        assert _conversion(node, name)["mrenclave"] == elsewhere
    finally:
        node.restart()


def test_nodes_share_signatures_in_the_registry(
    cri: Cri, pod: Pod, node: Node, service: Service, remote: Remote
) -> None:
    """Who has no password for the registry asks the service; what was pushed is a TEE image."""
    before = len(_signed(service))
    try:
        for options, signed, said in (
            (("--referrers", "push"), 1, "it could not be pushed"),
            (("--referrers", "push"), 2, "it was pushed"),
            (("--referrers", "take"), 2, "its signature was taken from the registry"),
            ((), 3, ""),
        ):
            node.run("forget", "--all")
            node.restart(*options)
            assert cri.run(pod, remote.name, args=["exit", "5"]).code == 5
            assert said in _conversion(node, remote.name).get("shared", "")
            assert len(_signed(service)) == before + signed
            _let_in(node, remote)
    finally:
        node.restart()
    (pushed,) = _referrers(remote)
    signer = service.folder / "signer.pub.pem"
    signer.write_bytes(public_key_pem(service.client("node").public_key))
    image = f"{remote.host}/gone@{pushed['digest']}"
    verify = [sys.executable, "-m", "enclavize", "verify", image, "--signer", str(signer)]
    environment = {**os.environ, "DOCKER_CONFIG": str(node.folder / ".docker")}
    done = subprocess.run(verify, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def _referrers(remote: Remote) -> list[dict[str, Any]]:
    """Return what refers to the image; Debian's registry has a list under a tag."""
    inspect = ["skopeo", "inspect", "--tls-verify=false", f"--creds={USERNAME}:{PASSWORD}"]
    repository = remote.name.removesuffix(":1")
    digest = json.loads(
        subprocess.run([*inspect, f"docker://{remote.name}"], check=True, capture_output=True).stdout
    )["Digest"]
    tag = digest.replace(":", "-")
    raw = subprocess.run([*inspect, "--raw", f"docker://{repository}:{tag}"], check=True, capture_output=True)
    return [item for item in json.loads(raw.stdout)["manifests"] if item["artifactType"] == ARTIFACT_TYPE]


def _conversion(node: Node, name: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [item for item in node.status()["conversions"] if item["image"]["name"] == name]
    return found


def _layers(layout: Path) -> list[str]:
    inspect = ["skopeo", "inspect", "--raw", f"oci:{layout}:1"]
    manifest = json.loads(subprocess.run(inspect, check=True, capture_output=True).stdout)
    return [layer["digest"] for layer in manifest["layers"]]


def test_what_the_service_refuses_is_in_the_event(
    cri: Cri, pods: Callable[..., Pod], node: Node, service: Service
) -> None:
    """It signs one measurement, and a pod that narrows has another one."""
    allowed = next(line["mrenclave"] for line in _signed(service))
    assert service.stop() == 0
    service.clients["node"]["measurements"] = [allowed]
    service.start()
    try:
        with pytest.raises(CriError, match=r"may not sign|not allowed|refuse"):
            cri.run(pods(enclave_policy="allow-env = []"), ORDINARY, args=["exit", "0"])
        assert not node.leftovers()
    finally:
        assert service.stop() == 0
        del service.clients["node"]["measurements"]
        service.start()
    assert cri.run(pods(enclave_policy="allow-env = []"), ORDINARY, args=["exit", "5"]).code == 5


def test_without_the_service_only_what_was_converted_runs(
    cri: Cri, pods: Callable[..., Pod], node: Node, service: Service
) -> None:
    assert cri.run(pods(), ORDINARY, args=["exit", "5"]).code == 5
    assert service.stop() == 0
    other = {"enclave_policy": "volume = []"}
    try:
        assert cri.run(pods(), ORDINARY, args=["exit", "5"]).code == 5
        with pytest.raises(CriError, match="cannot be reached"):
            cri.run(pods(**other), ORDINARY, args=["exit", "0"])
        assert not node.leftovers()
    finally:
        service.start()
    assert cri.run(pods(**other), ORDINARY, args=["exit", "5"]).code == 5


def test_without_the_daemon_nothing_runs(cri: Cri, pod: Pod, node: Node) -> None:
    assert node.stop(kill=True) == -9
    with pytest.raises(
        CriError, match=r"its daemon at .* does not answer: Connection refused; see: enclavize"
    ):
        cri.run(pod, ORDINARY, args=["exit", "0"])
    node.start()
    assert cri.run(pod, ORDINARY, args=["exit", "5"]).code == 5
    assert node.stop() == 0
    with pytest.raises(CriError, match="does not answer: No such file"):
        cri.run(pod, ORDINARY, args=["exit", "0"])
    node.start()
    assert cri.run(pod, ORDINARY, args=["exit", "5"]).code == 5


def test_a_token_that_is_not_known_any_more(
    cri: Cri, pods: Callable[..., Pod], node: Node, service: Service
) -> None:
    token, wish = service.folder / "node.token", {"enclave_policy": 'allow-network = "none"'}
    content = token.read_text()
    token.write_text("another-token\n")
    try:
        with pytest.raises(CriError, match=r"does not know|refuses|401"):
            cri.run(pods(**wish), ORDINARY, args=["exit", "0"])
    finally:
        token.write_text(content)
    assert not node.leftovers()
    assert cri.run(pods(**wish), ORDINARY, args=["exit", "5"]).code == 5


def test_a_token_that_has_expired(cri: Cri, pods: Callable[..., Pod], node: Node, service: Service) -> None:
    """The refusal says so, and the next try with a new token works: nobody starts the daemon again."""
    token, wish = service.folder / "node.token", {"enclave_policy": "allow-env = []\nvolume = []"}
    old, past = token.read_text(), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert service.stop() == 0
    service.clients["node"]["token_sha256"] = [
        {"sha256": hash_token(old.strip()), "expires": past}, hash_token("a-new-token")
    ]  # fmt: skip
    service.start()
    try:
        with pytest.raises(CriError, match=r"status 401: the token of node expired at 2020-01-01T00:00:00"):
            cri.run(pods(**wish), ORDINARY, args=["exit", "0"])
        assert not node.leftovers()
        token.write_text("a-new-token\n")
        assert cri.run(pods(**wish), ORDINARY, args=["exit", "5"]).code == 5
    finally:
        token.write_text(old)
        assert service.stop() == 0
        del service.clients["node"]["token_sha256"]
        service.start()


def test_a_full_disk(cri: Cri, pod: Pod, node: Node) -> None:
    assert node.run("forget", "--all").returncode == 0
    trees = node.folder / "cache" / "trees"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", trees], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        with pytest.raises(CriError, match="No space left on device"):
            cri.run(pod, ORDINARY, args=["exit", "0"])
        assert not node.leftovers()
    finally:
        subprocess.run(["umount", trees], check=True)
    assert cri.run(pod, ORDINARY, args=["exit", "5"]).code == 5
