"""The text that ``sgx_sign dump`` writes about a signed enclave. Scripts search it, so it is kept to the
byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enclavize.sgx.structures import SIGSTRUCT_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclavize.sgx.enclave_file.metadata import Metadata
    from enclavize.sgx.enclave_file.signed import SignedEnclave

_FIELDS = {field.name: field for field in SIGSTRUCT_FIELDS}

# Name in the text, field of SIGSTRUCT, and whether it is printed as bytes.
_CSS = (
    ("header.header", "HEADER", True),
    ("header.type", "TYPE", False),
    ("header.module_vendor", "VENDOR", False),
    ("header.date", "DATE", False),
    ("header.header2", "HEADER2", True),
    ("header.hw_version", "SWDEFINED", False),
    ("key.modulus", "MODULUS", True),
    ("key.exponent", "EXPONENT", True),
    ("key.signature", "SIGNATURE", True),
    ("body.misc_select", "MISCSELECT", False),
    ("body.misc_mask", "MISCMASK", False),
    ("body.attributes", "ATTRIBUTES", False),
    ("body.attribute_mask", "ATTRIBUTEMASK", False),
    ("body.enclave_hash.m", "ENCLAVEHASH", True),
    ("body.isv_prod_id", "ISVPRODID", False),
    ("body.isv_svn", "ISVSVN", False),
    ("buffer.q1", "Q1", True),
    ("buffer.q2", "Q2", True),
)


def dump(enclave: SignedEnclave) -> str:
    """All metadata blocks, and MRSIGNER."""
    first, *others = enclave.blocks
    lines = [*_title("The metadata information:", 29), *_block(first)]
    if others:
        lines += ["", "", "", *_title("The compatible metadata information: ", 36)]
    for number, block in enumerate(others, 1):
        lines += ["", f"Compatible metadata number {number}:", "-" * 30, *_block(block)]
    lines += ["", "", *_title("The mrsigner value:", 19)]
    lines += ["mrsigner->value:", *_bytes(enclave.sigstruct.mrsigner)]
    return "\n".join(lines) + "\n"


def _title(text: str, width: int) -> list[str]:
    return ["=" * width, text, "=" * width]


def _block(block: Metadata) -> Iterator[str]:
    data = block.data
    major, minor = block.version
    for name, value in (
        ("magic_num", int.from_bytes(data[:8], "little")),
        ("version", major << 32 | minor),
        ("size", len(data)),
        ("tcs_policy", block.tcs_policy),
        ("ssa_frame_size", block.ssa_frame_size),
        ("max_save_buffer_size", block.xsave_size),
        ("desired_misc_select", block.desired_misc_select),
        ("enclave_size", block.enclave_size),
        ("attributes.flags", block.attributes.flags),
        ("attributes.xfrm", block.attributes.xfrm),
    ):
        yield f"metadata->{name}: {value:#x}"
    for name, field, as_bytes in _CSS:
        raw = block.sigstruct_bytes[_FIELDS[field].slice]
        if as_bytes:
            yield f"metadata->enclave_css.{name}:"
            yield from _bytes(raw)
        elif field.startswith("ATTRIBUTE"):
            yield f"metadata->enclave_css.{name}.flags: {int.from_bytes(raw[:8], 'little'):#x}"
            yield f"metadata->enclave_css.{name}.xfrm: {int.from_bytes(raw[8:], 'little'):#x}"
        else:
            yield f"metadata->enclave_css.{name}: {int.from_bytes(raw, 'little'):#x}"


def _bytes(value: bytes) -> Iterator[str]:
    for start in range(0, len(value), 16):
        yield "".join(f"{byte:#04x} " for byte in value[start : start + 16])
