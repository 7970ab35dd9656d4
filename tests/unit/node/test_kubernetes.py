"""The examples are what Kubernetes' API takes, and ask for rune."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from enclavize.cli.grammar.configured import Configured
from enclavize.cli.grammar.configured_options import options_of_file
from enclavize.node.places import CACHE, RULES, SOCKET
from enclavize.node.rules import Subject, load_rules
from enclavize.oci.location import parse_location
from enclavize.oci.platform import LINUX_AMD64

TEMPLATES = Path(__file__).parents[3] / "templates" / "kubernetes"
DOCUMENTS: dict[str, dict[str, Any]] = {
    f"{path.name}-{document['kind']}": document
    for path in sorted(TEMPLATES.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("version", ["1.26", "1.32"])
def test_an_example_is_of_the_api(name: str, version: str) -> None:
    validation = pytest.importorskip("kubernetes_validate")
    validation.validate(DOCUMENTS[name], version, strict=True)


def test_the_rules_of_the_example_are_rules(tmp_path: Path) -> None:
    for name, text in DOCUMENTS["node.yaml-ConfigMap"]["data"].items():
        (tmp_path / name).write_text(text)
    rules = load_rules(tmp_path)
    assert [rule.name for rule in rules] == ["10-shop.toml"]
    assert rules[0].takes(Subject(image="registry.example.com/shop/app:1", namespace="shop"))
    options = options_of_file(
        Configured(rules[0].configuration),
        source=parse_location("oci:absent"),
        platform=LINUX_AMD64,
        signer=None,
    )
    assert options.strict


def test_the_daemon_is_where_rune_looks_for_it() -> None:
    container = DOCUMENTS["node.yaml-DaemonSet"]["spec"]["template"]["spec"]["containers"][0]
    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert {str(SOCKET.parent), str(RULES), str(CACHE)} < set(paths)
    unit = (TEMPLATES.parent / "systemd" / "enclavize-node.service").read_text()
    assert f"RuntimeDirectory={SOCKET.parent.name}\n" in unit
    assert f"StateDirectory={CACHE.relative_to('/var/lib')}\n" in unit
    words = [word.partition("=")[0] for word in container["args"]]
    assert set(words) <= {option for option in unit.split() if option.startswith("--")}


def test_every_pod_runs_under_rune() -> None:
    pods = [
        document["spec"].get("template", document)["spec"]
        for document in DOCUMENTS.values()
        if document["kind"] in {"Pod", "Deployment"}
    ]
    assert len(pods) == 2
    for pod in pods:
        assert pod["runtimeClassName"] == "rune"
        assert pod["automountServiceAccountToken"] is False
