"""What a client may have signed: each field of SIGSTRUCT that says what may run, each bit of its masks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from enclavize.sgx.enclave_file.generation import GENERATIONS
from enclavize.sgx.measurement import Measurement
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.sgx.structures import AttributeFlags, Attributes, MiscSelect, Xfrm
from enclavize.signing.service.policy import SigningPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

ALL64 = (1 << 64) - 1
ALL32 = (1 << 32) - 1
ANYTHING = SigningPolicy(measurements=None, product_ids=None)
STRICT = Measurement(
    mrenclave=bytes(range(32)),
    attributes=Attributes(flags=AttributeFlags.MODE64BIT, xfrm=Xfrm.LEGACY),
    attributes_mask=Attributes(flags=ALL64, xfrm=ALL64),
    misc_select=0,
    misc_mask=ALL32,
    isv_prod_id=1,
    isv_svn=2,
)
FREE_FLAGS = 0x4 | 0x40 | 0x400
"""MODE64BIT, CET, AEXNOTIFY."""

FREE_XFRM = 0x3 | 0x4 | 0x18 | 0xE0 | 0x60000
"""x87, SSE; AVX, MPX, AVX-512, AMX."""


def objections(policy: SigningPolicy = ANYTHING, **values: Any) -> list[str]:
    return list(policy.objections(Sigstruct(measurement=replace(STRICT, **values), date=0x20261123)))


def test_an_ordinary_enclave_is_signed() -> None:
    assert objections() == []


def with_flags(more: int = 0, mask: int = ALL64) -> dict[str, Any]:
    return {
        "attributes": Attributes(flags=4 | more, xfrm=3),
        "attributes_mask": Attributes(flags=mask, xfrm=ALL64),
    }


def with_xfrm(more: int = 0, mask: int = ALL64) -> dict[str, Any]:
    return {
        "attributes": Attributes(flags=4, xfrm=3 | more),
        "attributes_mask": Attributes(flags=ALL64, xfrm=mask),
    }


def with_misc(more: int = 0, mask: int = ALL32) -> dict[str, Any]:
    return {"misc_select": more, "misc_mask": mask}


@pytest.mark.parametrize(
    ("make", "full", "free", "unchecked", "policy"),
    [
        (with_flags, ALL64, FREE_FLAGS, 0xFF << 48, ANYTHING),
        (with_flags, ALL64, FREE_FLAGS | 0x82, 0xFF << 48, replace(ANYTHING, attributes=0x82)),
        (with_xfrm, ALL64, FREE_XFRM, 0, ANYTHING),
        (with_xfrm, ALL64, 0x3 | 0x200, 0, replace(ANYTHING, xfrm=0x200)),
        (with_xfrm, ALL64, 0x3, 0, replace(ANYTHING, xfrm=0)),
        (with_misc, ALL32, 1, 0, ANYTHING),
        (with_misc, ALL32, 0, 0, replace(ANYTHING, misc_select=0)),
        (with_misc, ALL32, ALL32, 0, replace(ANYTHING, misc_select=ALL32)),
    ],
)
def test_each_bit_that_is_not_allowed_must_be_off_and_checked(
    make: Callable[..., dict[str, Any]], full: int, free: int, unchecked: int, policy: SigningPolicy
) -> None:
    for bit in (1 << number for number in range(full.bit_length())):
        asked = objections(policy, **make(more=bit))
        assert (asked == []) is bool(free & bit), f"{bit:#x}: {asked}"
        left_open = objections(policy, **make(mask=full & ~bit))
        assert (left_open == []) is bool((free | unchecked) & bit), f"{bit:#x}: {left_open}"


def test_what_is_refused_is_named() -> None:
    assert objections(**with_xfrm(0x200 | 1 << 40)) == [
        "the enclave asks for features in XFRM that are not allowed: PKRU, 0x10000000000"
    ]
    assert objections(replace(ANYTHING, xfrm=0), **with_xfrm(0xE7)) == [
        "the enclave asks for features in XFRM that are not allowed: AVX, AVX512"
    ]
    assert objections(**with_misc(0, 0)) == [
        "the enclave lets the host choose bits of MISCSELECT that are not allowed: CPINFO, 0xfffffffc"
    ]
    assert objections(**with_flags(0x80)) == ["the enclave asks for attributes that are not allowed: KSS"]


@pytest.mark.parametrize("xfrm", [0, 1, 2, 4])
def test_xfrm_without_x87_and_sse_is_refused(xfrm: int) -> None:
    reasons = objections(attributes=Attributes(flags=4, xfrm=xfrm))
    assert any("without x87 and SSE" in text for text in reasons)


def test_what_the_vendors_tools_leave_open_is_signed() -> None:
    gramine = 0xFFFFFFFFFFF9FF1B
    for mask in (gramine, *(ALL64 & ~generation.unchecked_xfrm for generation in GENERATIONS)):
        assert objections(**with_xfrm(0, mask), misc_select=MiscSelect.EXINFO) == []


@pytest.mark.parametrize(("svn", "reasons"), [(2, 1), (3, 0), (5, 0), (6, 1)])
def test_svn_has_a_minimum_and_a_maximum(svn: int, reasons: int) -> None:
    assert len(objections(replace(ANYTHING, min_svn=3, max_svn=5), isv_svn=svn)) == reasons


@pytest.mark.parametrize(
    ("field", "allow"),
    [
        ("isv_family_id", lambda ids: replace(ANYTHING, family_ids=ids)),
        ("isvext_prod_id", lambda ids: replace(ANYTHING, extended_product_ids=ids)),
    ],
)
def test_ids_of_kss_are_none_or_listed_or_any(
    field: str, allow: Callable[[frozenset[bytes] | None], SigningPolicy]
) -> None:
    one, other = b"\1" * 16, b"\2" * 16
    assert len(objections(ANYTHING, **{field: one})) == 1
    assert objections(allow(frozenset({one})), **{field: one}) == []
    assert len(objections(allow(frozenset({one})), **{field: other})) == 1
    assert len(objections(allow(frozenset({one})))) == 1  # no id is another one
    assert objections(allow(None), **{field: other}) == []
