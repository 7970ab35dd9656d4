"""Properties of every format that enclaves are read from and written in, and random damage to each."""

from __future__ import annotations

import contextlib
import random
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enclavize.errors import EnclavizeError, IntegrityError, UsageError
from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave, parse_config, read_signed
from enclavize.sgx.gramine_enclave import measure_gramine
from enclavize.sgx.gramine_manifest import complete_manifest
from enclavize.sgx.measurement import Measurement
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.sgx.structures import SIGSTRUCT_SIZE, Attributes
from enclavize.signing.local import sign_sigstruct
from support.enclave_builder import Enclave, Extra
from support.scale import scaled
from support.vectors import GRAMINE, INTEL, signer

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 4096
MANIFEST = (GRAMINE / "cases/small_256M/manifest.toml").read_bytes()
LIBPAL = (GRAMINE / "libpal/standin_a.so").read_bytes()
SIGSTRUCT = (INTEL / "cases/kss/sigstruct.bin").read_bytes()

often = settings(max_examples=scaled(10_000, least=100), deadline=None)
seldom = settings(
    max_examples=scaled(1000, least=25), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def damaged(original: bytes, rng: random.Random) -> bytes:
    """Change a few bytes, and sometimes cut the end off."""
    data = bytearray(original)
    for _ in range(rng.randrange(1, 5)):
        size = rng.choice((1, 1, 2, 4, 8))
        offset = rng.randrange(len(data))
        data[offset : offset + size] = rng.choice((rng.randbytes(size), b"\xff" * size, bytes(size), b""))
    if rng.random() < 0.1:
        del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


# SIGSTRUCT

u64 = st.integers(0, 2**64 - 1)
u32 = st.integers(0, 2**32 - 1)
u16 = st.integers(0, 2**16 - 1)
sixteen = st.binary(min_size=16, max_size=16)
attributes = st.builds(Attributes, flags=u64, xfrm=u64)
measurements = st.builds(
    Measurement,
    mrenclave=st.binary(min_size=32, max_size=32), attributes=attributes, attributes_mask=attributes,
    misc_select=u32, misc_mask=u32, isv_prod_id=u16, isv_svn=u16, isv_family_id=sixteen,
    isvext_prod_id=sixteen, swdefined=u32, vendor=u32, header_type=u32,
)  # fmt: skip


@often
@given(measurements, u32)
def test_a_sigstruct_is_read_as_it_was_written(measurement: Measurement, date: int) -> None:
    sigstruct = Sigstruct(measurement=measurement, date=date)
    assert Sigstruct.parse(sigstruct.to_bytes()) == sigstruct
    assert Sigstruct.from_signed_bytes(sigstruct.signed_bytes()) == sigstruct


@often
@given(st.binary(max_size=64), st.integers(0, SIGSTRUCT_SIZE))
def test_what_is_read_as_a_sigstruct_is_written_alike(patch: bytes, offset: int) -> None:
    data = (SIGSTRUCT[:offset] + patch + SIGSTRUCT[offset + len(patch) :])[:SIGSTRUCT_SIZE]
    try:
        sigstruct = Sigstruct.parse(data)
    except IntegrityError:
        return
    assert sigstruct.to_bytes() == data
    if data != SIGSTRUCT:
        with pytest.raises(IntegrityError):
            sigstruct.verify()


def test_damaged_sigstructs_give_typed_errors_only() -> None:
    rng = random.Random(30)
    for _ in range(scaled(40_000)):
        with contextlib.suppress(IntegrityError):
            Sigstruct.parse(damaged(SIGSTRUCT, rng)).verify()


# Enclave.config.xml

_ELEMENTS = {field.name: field.metadata for field in fields(EnclaveConfig)}
configurations = st.fixed_dictionaries(
    {}, optional={name: st.integers(*metadata["range"]) for name, metadata in _ELEMENTS.items()}
)


@often
@given(configurations, st.sampled_from(["{}", "{:#x}", "0{:o}"]))
def test_a_configuration_is_read_as_it_was_written(values: dict[str, int], form: str) -> None:
    elements = "".join(
        "<{0}>{1}</{0}>".format(_ELEMENTS[name]["element"], form.format(value))
        for name, value in values.items()
    )
    xml = f"<EnclaveConfiguration>{elements}</EnclaveConfiguration>".encode()
    assert outcome(lambda: parse_config(xml)) == outcome(lambda: EnclaveConfig(**values))


def outcome(make: Callable[[], EnclaveConfig]) -> EnclaveConfig | str:
    try:
        return make()
    except UsageError as error:
        return str(error)


@often
@given(
    st.sampled_from(["utf-8", "UTF-16", "utf-7", "cp037", "shift_jis", "idna", "rot13", "none", "\\", ""]),
    st.text(max_size=30),
)
def test_any_text_is_a_configuration_or_a_typed_error(encoding: str, text: str) -> None:
    for document in (
        f'<?xml version="1.0" encoding="{encoding}"?><EnclaveConfiguration>{text}</EnclaveConfiguration>',
        f"<EnclaveConfiguration><ProdID>{text}</ProdID></EnclaveConfiguration>",
        text,
    ):
        with contextlib.suppress(UsageError):
            parse_config(document.encode(errors="surrogatepass"))


# Enclave files

pages = st.integers(0, 3)
extras = st.builds(
    Extra,
    content=st.binary(max_size=40), bss=st.integers(1, 3 * PAGE), flags=st.integers(1, 7),
    skew=st.integers(0, PAGE - 1), gap=pages,
)  # fmt: skip
enclaves = st.builds(
    Enclave,
    code=st.binary(min_size=2, max_size=40), bss=st.integers(0, 5 * PAGE), tls_size=st.integers(0, 2 * PAGE),
    tls_align=st.sampled_from([0, 1, 8, 64, PAGE]), extras=st.lists(extras, max_size=2),
)  # fmt: skip
small_configurations = st.fixed_dictionaries(
    {},
    optional={
        "tcs_num": st.integers(1, 5), "tcs_max_num": st.integers(1, 9), "tcs_min_pool": st.integers(0, 5),
        "heap_min_size": st.integers(0, 9).map(PAGE.__mul__), "isv_svn": u16,
        "heap_max_size": st.integers(0, 99).map(PAGE.__mul__), "disable_debug": st.integers(0, 1),
        "misc_select": st.integers(0, 1),
        "misc_mask": st.sampled_from([0, 1, 2**32 - 1]), "amx": st.integers(0, 2),
        "reserved_mem_max_size": st.integers(0, 99).map(PAGE.__mul__),
        "user_region_size": st.integers(0, 9).map(PAGE.__mul__),
    },
)  # fmt: skip


@seldom
@given(enclaves, small_configurations)
def test_what_is_signed_measures_the_same_when_read_again(enclave: Enclave, values: dict[str, int]) -> None:
    image = enclave.build()
    try:
        unsigned = measure_enclave(image, EnclaveConfig(**values))
    except EnclavizeError:
        return
    sigstruct = Sigstruct(measurement=unsigned.measurement, date=0x20261123)
    signed = b"".join(unsigned.signed_image(sign_sigstruct(sigstruct, signer())))
    again = read_signed(signed)
    again.verify()
    assert again.sigstruct.measurement == unsigned.measurement
    assert len(signed) == len(image)
    resigned = measure_enclave(signed, EnclaveConfig(**values), resign=True)
    assert resigned.measurement == unsigned.measurement


@seldom
@given(st.binary(max_size=300))
def test_any_bytes_are_no_enclave(data: bytes) -> None:
    operations: tuple[Callable[[bytes], object], ...] = (
        read_signed,
        lambda image: measure_enclave(image, EnclaveConfig()),
        lambda image: measure_gramine(image, b"", enclave_size=2**28, max_threads=4, edmm=False),
    )
    for image in (data, b"\x7fELF\x02\x01\x01" + data):
        for operation in operations:
            with pytest.raises(EnclavizeError):
                operation(image)


# Gramine

_KNOWN_KEYS = ["sgx", "libos", "loader", "entrypoint", "uri", "enclave_size", "max_threads", "trusted_files"]
_KNOWN_KEYS += ["edmm_enable", "debug", "cpu_features", "avx", "sha256", "isvprodid", "remote_attestation"]
keys = st.sampled_from(_KNOWN_KEYS) | st.text(max_size=5)
scalars = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=8),
    st.sampled_from(["256M", "1G", "file:/nonexistent/x", "file:", "none", "dcap", "required", "a" * 64]),
    st.dates(),
)  # fmt: skip
tables = st.recursive(
    st.dictionaries(keys, scalars, max_size=5),
    lambda children: st.dictionaries(keys, scalars | children | st.lists(children, max_size=3), max_size=5),
    max_leaves=8,
)


def completed(text: bytes) -> bytes | None:
    """Return the completed manifest, after measuring it, or None where it is refused."""
    try:
        manifest = complete_manifest(text, chroot=Path("/nonexistent"))
        manifest.measure(LIBPAL)
    except EnclavizeError:
        return None
    return manifest.text


@often
@given(tables, st.sampled_from([(), ("sgx",), ("loader",), ("sgx", "cpu_features")]))
def test_any_manifest_is_completed_once_or_refused(table: dict[str, Any], place: tuple[str, ...]) -> None:
    document = tomllib.loads(MANIFEST.decode())
    document["sgx"].setdefault("cpu_features", {})
    inner = document
    for name in place:
        inner = inner[name]
    inner.update(table)
    text = completed(tomli_w.dumps(document).encode(errors="surrogatepass"))
    assert text is None or completed(text) == text


def test_damaged_manifests_give_typed_errors_only() -> None:
    rng = random.Random(31)
    for _ in range(scaled(8000)):
        completed(damaged(MANIFEST, rng))


def test_damaged_libpals_give_typed_errors_only() -> None:
    rng = random.Random(32)
    for _ in range(scaled(8000)):
        head, rest = LIBPAL[:1024], LIBPAL[1024:]
        with contextlib.suppress(EnclavizeError):
            measure_gramine(damaged(head, rng) + rest, b"", enclave_size=2**28, max_threads=1, edmm=True)
