"""The configuration is put into the enclave file, once, and found there again."""

from pathlib import Path

import pytest

from enclavize.errors import EnclavizeError
from enclavize.libos.builtin.config import CONFIGURATION_SIZE
from enclavize.libos.builtin.enclave import (
    configuration_window,
    enclave_config,
    read_configuration,
    with_configuration,
)
from enclavize.sgx.enclave_file import measure_enclave
from support.stand_in import stand_in_enclave


@pytest.fixture(scope="module")
def enclave(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return stand_in_enclave(tmp_path_factory.mktemp("enclave") / "libos.so").read_bytes()


def test_the_configuration_goes_in_and_comes_out(enclave: bytes) -> None:
    configuration = b"ENCLVCFG".ljust(CONFIGURATION_SIZE, b"x")
    configured = with_configuration(enclave, configuration)
    assert read_configuration(configured) == configuration
    assert len(configured) == len(enclave)
    assert not any(read_configuration(enclave))
    with pytest.raises(EnclavizeError, match="already"):
        with_configuration(configured, configuration)


def test_a_symbol_of_another_size_or_name_is_refused(enclave: bytes) -> None:
    size = CONFIGURATION_SIZE.to_bytes(8, "little")
    with pytest.raises(EnclavizeError, match="bytes for its configuration"):
        configuration_window(enclave.replace(size, (CONFIGURATION_SIZE - 8).to_bytes(8, "little")))
    with pytest.raises(EnclavizeError, match="no symbol"):
        configuration_window(enclave.replace(b"measured_configuration\0", b"measured_configuratiom\0"))


def test_every_bit_of_the_configuration_and_of_the_layout_is_measured(enclave: bytes) -> None:
    def measured(image: bytes, threads: int = 4, *, debuggable: bool = False) -> bytes:
        config = enclave_config(threads=threads, isv_prod_id=1, isv_svn=2, debuggable=debuggable)
        return measure_enclave(image, config).measurement.mrenclave

    window = configuration_window(enclave)
    changed = bytearray(enclave)
    changed[window.stop - 1] = 1
    assert len({measured(enclave), measured(bytes(changed)), measured(enclave, threads=5)}) == 3
    assert measured(enclave) == measured(enclave, debuggable=True), "who may debug is SIGSTRUCT's matter"


@pytest.mark.parametrize("debuggable", [True, False])
def test_only_a_debug_image_leaves_the_debug_attribute_open(enclave: bytes, *, debuggable: bool) -> None:
    config = enclave_config(threads=1, isv_prod_id=0, isv_svn=0, debuggable=debuggable)
    measurement = measure_enclave(enclave, config).measurement
    assert not measurement.attributes.debug
    assert bool(measurement.attributes_mask.flags & 2) is not debuggable
    assert measurement.misc_select & 1


def test_damaged_enclaves_are_refused(enclave: bytes, tmp_path: Path) -> None:
    for cut in range(0, len(enclave), 997):
        with pytest.raises(EnclavizeError):
            configuration_window(enclave[:cut])
