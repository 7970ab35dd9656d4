"""Which enclaves a node admits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enclavize.errors import EnclavizeError
from enclavize.rune.enclave import Enclave, admit
from enclavize.rune.settings import Settings

ENCLAVE = Enclave(
    libos="builtin", mrenclave=bytes(32), mrsigner=b"s" * 32, isv_prod_id=7, isv_svn=3, debug=False
)


def test_no_settings_admit_any_signer() -> None:
    admit(ENCLAVE, Settings())
    admit(replace(ENCLAVE, debug=True), Settings())


def test_settings_that_fit() -> None:
    admit(
        ENCLAVE,
        Settings(mrsigners=(b"x" * 32, b"s" * 32), product_ids=(7,), min_isvsvn=3, allow_debug=False),
    )


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (Settings(mrsigners=(b"x" * 32,)), "signer"),
        (Settings(product_ids=(8,)), "product"),
        (Settings(min_isvsvn=4), "version"),
    ],
)
def test_settings_that_do_not_fit(settings: Settings, word: str) -> None:
    with pytest.raises(EnclavizeError, match=word):
        admit(ENCLAVE, settings)


def test_debug_enclaves_can_be_kept_out() -> None:
    with pytest.raises(EnclavizeError, match="debug"):
        admit(replace(ENCLAVE, debug=True), Settings(allow_debug=False))
