"""The examples are what Kubernetes' API takes, and ask for rune."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

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
