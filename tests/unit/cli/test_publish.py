"""Ports that ``run`` is asked to publish."""

import pytest

from enclavize.cli.grammar.publish import parse_published
from enclavize.errors import UsageError
from enclavize.rune.publish import PublishedPort, check_policy
from enclavize.tee.policy import Network, Policy


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("80", PublishedPort(host=80, container=80)),
        ("8080:80/tcp", PublishedPort(host=8080, container=80)),
        ("127.0.0.1:8080:80", PublishedPort(address="127.0.0.1", host=8080, container=80)),
        ("[::1]:8080:80", PublishedPort(address="::1", host=8080, container=80)),
    ],
)
def test_ports_are_written_as_for_docker(text: str, port: PublishedPort) -> None:
    assert parse_published([text], host_network=False) == (port,)
    assert parse_published([str(port)], host_network=False) == (port,)


@pytest.mark.parametrize("text", ["80", "8080:8080", "53/udp", "53:53/udp"])
def test_a_port_is_the_machines_with_its_network(text: str) -> None:
    assert parse_published([text], host_network=True) == ()


@pytest.mark.parametrize("text", ["8080:80", "127.0.0.1:80:80"])
def test_no_port_becomes_another_in_the_machines_network(text: str) -> None:
    with pytest.raises(UsageError, match="port 80 of the machine"):
        parse_published([text], host_network=True)


def test_datagrams_are_sent_to_the_machines_network() -> None:
    with pytest.raises(UsageError, match="TCP") as refused:
        parse_published(["53/udp"], host_network=False)
    assert "--network host" in str(refused.value.hint)


@pytest.mark.parametrize(
    "text",
    ["", "x", "80:", ":80", "a:80:80", "::1:80:80", "80-90", "99999", "0", "80:0", "80/sctp", "80:70000"],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="form"):
        parse_published([text], host_network=True)


@pytest.mark.parametrize("address", ["1.2.3", "256.1.1.1", "[1::2::3]"])
def test_an_address_is_one(address: str) -> None:
    with pytest.raises(UsageError, match="is not an IP address"):
        parse_published([f"{address}:80:80"], host_network=False)


@pytest.mark.parametrize("network", [Network.NONE, Network.LOOPBACK])
def test_a_program_that_is_measured_to_be_alone_stays_alone(network: Network) -> None:
    port = PublishedPort(host=80, container=80)
    with pytest.raises(UsageError, match=f"network is {network}: nobody") as refused:
        check_policy([port], Policy(network=network))
    assert "--allow-network all" in str(refused.value.hint)
    check_policy([], Policy(network=network))
    check_policy([port], Policy(network=Network.ALL))
