"""Ports that ``run`` is asked to publish."""

import pytest

from enclavize.cli.grammar.publish import check_published
from enclavize.errors import UsageError


@pytest.mark.parametrize("text", ["80", "8080:8080", "53/udp", "53:53/udp"])
def test_a_port_is_the_machines_with_its_network(text: str) -> None:
    check_published([text], host_network=True)
    with pytest.raises(UsageError, match="loopback alone") as refused:
        check_published([text], host_network=False)
    assert "--network host" in str(refused.value.hint)


def test_no_port_becomes_another() -> None:
    with pytest.raises(UsageError, match="port 80 of the machine"):
        check_published(["8080:80"], host_network=True)


@pytest.mark.parametrize("text", ["", "x", "80:", "127.0.0.1:80:80", "80-90", "99999", "80/sctp", "80:70000"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="form"):
        check_published([text], host_network=True)
