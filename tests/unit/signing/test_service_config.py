"""signer.toml: what is accepted, and what is refused with its place."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclavize.errors import EnclavizeError, UsageError
from enclavize.signing.service.clients import Authenticator, ExpiredTokenError, RateLimiter, hash_token
from enclavize.signing.service.config import load_config
from support.scale import scaled

if TYPE_CHECKING:
    from pathlib import Path

A, B, C = hash_token("a"), hash_token("b"), hash_token("c")
SERVER = """
[server]
listen = "127.0.0.1:9443"
certificate = "server.pem"
private_key = "server.key"
client_ca = "ca.pem"
[audit]
path = "audit.jsonl"
[keys.release]
key = "release.pem"
passphrase_file = "secret"
[keys.hsm]
key = "pkcs11:token=t;object=k"
"""
LISTED = (
    f'[clients.one]\nkey = "release"\ntoken_sha256 = ["{A}"]\nmeasurements = ["{B}"]\nproduct_ids = [1]\n'
)
ANY = f'[clients.two]\nkey = "release"\ntoken_sha256 = ["{B}"]\nmeasurements = "any"\nproduct_ids = [2]\n'


def _until(token: str, end: str) -> str:
    return f'{{ sha256 = "{token}", expires = {end} }}'


def test_a_configuration_is_read(tmp_path: Path) -> None:
    path = tmp_path / "signer.toml"
    more = (
        'attributes = ["DEBUG", "PROVISIONKEY"]\nmin_svn = 3\nvendors = [0, 32902]\nrequests_per_minute = 5\n'
    )
    path.write_text(SERVER + LISTED + more + ANY)
    config = load_config(path)
    assert (config.host, config.port, config.request_timeout) == ("127.0.0.1", 9443, 10)
    assert config.keys["release"].reference == str(tmp_path / "release.pem")
    assert config.keys["release"].secret_file == tmp_path / "secret"
    assert config.keys["hsm"].reference == "pkcs11:token=t;object=k"
    one, two = config.clients
    assert one.policy.measurements == frozenset({bytes.fromhex(B)})
    assert one.policy.attributes == 0x12
    assert (one.policy.xfrm, one.policy.misc_select, one.policy.max_svn) == (0x600FC, 1, 0xFFFF)
    assert one.policy.family_ids == one.policy.extended_product_ids == frozenset({bytes(16)})
    assert (one.policy.min_svn, one.policy.vendors, one.requests_per_minute) == (3, frozenset({0, 0x8086}), 5)
    assert (two.policy.measurements, two.policy.product_ids) == (None, frozenset({2}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "server is missing"),
        ("x", "Expected '='"),
        (SERVER, "clients is missing"),
        (SERVER + LISTED + "[extra]\n", "'extra' is unknown"),
        (SERVER + LISTED + "colour = 1\n", "one: 'colour' is unknown"),
        (SERVER.replace("9443", "70000") + LISTED, "listen must be"),
        (SERVER.replace("127.0.0.1:9443", "9443") + LISTED, "listen must be"),
        (SERVER + LISTED.replace('"release"', '"other"'), "there is no key 'other'"),
        (SERVER + LISTED.replace(f'["{A}"]', "[]"), "needs token_sha256"),
        (SERVER + LISTED.replace(A, A.upper()), "token_sha256 must be"),
        (SERVER + LISTED.replace("[1]", "[65536]"), "product_ids must be"),
        (SERVER + LISTED.replace("[1]", "[true]"), "product_ids must be"),
        (SERVER + LISTED.replace("product_ids = [1]", ""), "product_ids is missing"),
        (SERVER + LISTED.replace(f'["{B}"]', '"all"'), "measurements must be"),
        (SERVER + LISTED + "min_svn = true\n", "min_svn must be"),
        (SERVER + LISTED + "min_svn = -1\n", "min_svn must be"),
        (SERVER + LISTED + "requests_per_minute = 0\n", "requests_per_minute must be"),
        (SERVER + LISTED + 'attributes = ["INIT"]\n', "attributes must be"),
        (SERVER + LISTED + "min_svn = 3\nmax_svn = 2\n", "max_svn must be at least min_svn, which is 3"),
        (SERVER + LISTED + "max_svn = 65536\n", "max_svn must be"),
        (SERVER + LISTED + 'xfrm = ["LEGACY"]\n', "xfrm must be a list of AVX or MPX or"),
        (SERVER + LISTED + 'xfrm = "any"\n', "xfrm must be"),
        (SERVER + LISTED + 'misc_select = ["x"]\n', "misc_select must be a list of EXINFO or CPINFO"),
        (SERVER + LISTED + 'family_ids = ["00"]\n', "family_ids must be a list of numbers of 32 hex"),
        (SERVER + LISTED + "extended_product_ids = [1]\n", "extended_product_ids must be"),
        (SERVER + LISTED + ANY.replace(B, A), "have the same token"),
        (SERVER + LISTED.replace(f'"{A}"', f'"{A}", "{A}"'), "token_sha256 must be .* each once"),
        (SERVER + LISTED.replace(f'"{A}"', "7"), "token_sha256 must be"),
        (SERVER + LISTED.replace(f'"{A}"', f'{{ sha256 = "{A}" }}'), "token_sha256 must be"),
        (SERVER + LISTED.replace(f'"{A}"', _until(A, "2027-01-01")), "token_sha256 must be"),
        (SERVER + LISTED.replace(f'"{A}"', _until(A, "2027-01-01T00:00:00")), "with a time zone"),
        (SERVER + LISTED.replace(f'"{A}"', _until(A, '"2027-01-01T00:00:00Z"')), "token_sha256 must be"),
        (SERVER + LISTED.replace(f'"{A}"', _until("a", "2027-01-01T00:00:00Z")), "token_sha256 must be"),
        (SERVER + LISTED.replace(".one", '."o ne"'), "is no name"),
        (SERVER + LISTED.replace("token_sha", "certificate_sha"), ""),
        (
            SERVER.replace('client_ca = "ca.pem"', "") + LISTED.replace("token_sha", "certificate_sha"),
            "client_ca is missing",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "signer.toml"
    path.write_text(text)
    if not message:
        load_config(path)
        return
    with pytest.raises(UsageError, match=message) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


def test_a_token_is_good_until_it_expires(tmp_path: Path) -> None:
    path = tmp_path / "signer.toml"
    tokens = f'"{A}"', f'"{C}", {_until(A, "2027-01-01T01:00:00+01:00")}'
    path.write_text(SERVER + LISTED.replace(*tokens))
    config = load_config(path)
    end = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    for now, is_good in ((end - dt.timedelta(seconds=1), True), (end, False)):
        authenticator = Authenticator(config.clients, partial(max, now, now))
        assert authenticator.identify("Bearer c", None) == config.clients[0]
        assert authenticator.identify("Bearer x", None) is None
        if is_good:
            assert authenticator.identify("Bearer a", None) == config.clients[0]
            continue
        with pytest.raises(ExpiredTokenError, match="the token of one expired at 2027-01-01T01:00:00"):
            authenticator.identify("Bearer a", None)


@pytest.mark.parametrize(
    ("one", "two", "message"),
    [
        ("[1]", "[1]", "must not have its product id 1"),
        ('"any"', "[2]", "must not have its product id 2"),
        ("[1]", "[2, 3]", "exactly one product id"),
        ("[1]", '"any"', "exactly one product id"),
        ("[1]", "[2]", ""),
    ],
)
def test_who_may_sign_anything_has_a_key_or_a_product_of_its_own(
    tmp_path: Path, one: str, two: str, message: str
) -> None:
    path = tmp_path / "signer.toml"
    listed = LISTED.replace("[1]", one)
    path.write_text(SERVER + listed + ANY.replace("[2]", two))
    if message:
        with pytest.raises(UsageError, match=message):
            load_config(path)
    else:
        load_config(path)
    path.write_text(SERVER + listed + ANY.replace("[2]", two).replace('"release"', '"hsm"'))
    load_config(path)


def test_who_may_sign_anything_beside_others_has_no_kss(tmp_path: Path) -> None:
    path = tmp_path / "signer.toml"
    shared = SERVER + LISTED + ANY + 'attributes = ["KSS"]\n'
    path.write_text(shared)
    with pytest.raises(UsageError, match="must not have KSS, which derives keys without the product id"):
        load_config(path)
    path.write_text(
        shared.replace('key = "release"\ntoken_sha256 = ["' + B, 'key = "hsm"\ntoken_sha256 = ["' + B)
    )
    assert load_config(path).clients[1].policy.attributes == 0x80


def test_the_policy_of_kss_and_of_the_processor_state_is_read(tmp_path: Path) -> None:
    path = tmp_path / "signer.toml"
    identity = "0123456789abcdef" * 2
    path.write_text(
        SERVER + LISTED + f'attributes = ["KSS"]\nfamily_ids = ["{identity}"]\nextended_product_ids = "any"\n'
        'xfrm = ["AVX512", "PKRU"]\nmisc_select = "any"\nmax_svn = 7\n'
    )
    policy = load_config(path).clients[0].policy
    assert policy.family_ids == frozenset({bytes.fromhex(identity)})
    assert policy.extended_product_ids is None
    assert (policy.attributes, policy.xfrm, policy.misc_select, policy.max_svn) == (
        0x80,
        0x2E0,
        0xFFFFFFFF,
        7,
    )


@settings(max_examples=scaled(2000, least=60), deadline=None)
@given(st.text(max_size=80), st.integers(min_value=0, max_value=600))
def test_any_text_is_a_configuration_or_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, inserted: str, position: int
) -> None:
    path = tmp_path_factory.mktemp("config") / "signer.toml"
    whole = SERVER + LISTED
    path.write_text(whole[:position] + inserted + whole[position:], errors="replace")
    with suppress(EnclavizeError):
        load_config(path)


def test_tokens_and_certificates_that_belong_together(tmp_path: Path) -> None:
    path = tmp_path / "signer.toml"
    path.write_text(SERVER + LISTED)
    client = load_config(path).clients[0]
    certificate = hash_token("certificate")
    both = replace(
        client, name="both", token_hashes=frozenset({B}), certificate_hashes=frozenset({certificate})
    )
    only = replace(client, name="only", token_hashes=frozenset(), certificate_hashes=frozenset({A}))
    find = Authenticator([client, both, only]).identify
    assert find("Bearer a", None) is client
    assert find("bearer  a", b"unknown") is client
    assert find("Bearer b", b"certificate") is both
    assert find("Bearer b", None) is None
    assert find("Bearer b", b"a") is None
    assert find(None, b"certificate") is None
    assert find(None, b"a") is only
    assert find("Bearer x", b"a") is None
    assert find(None, None) is None
    assert find("Basic a", None) is None


def test_a_rate_is_a_burst_and_then_even(tmp_path: Path) -> None:
    path = tmp_path / "signer.toml"
    path.write_text(SERVER + LISTED + "requests_per_minute = 6\n")
    client = load_config(path).clients[0]
    now = [100.0]
    delay = RateLimiter(lambda: now[0]).delay
    assert [delay(client) for _ in range(6)] == [0] * 6
    assert delay(client) == pytest.approx(10)
    now[0] += 4
    assert delay(client) == pytest.approx(6)
    now[0] += 6.01
    assert delay(client) == 0
    assert delay(client) > 0
    now[0] += 1e6
    assert [delay(client) for _ in range(7)][5:] == [0, pytest.approx(10)]
