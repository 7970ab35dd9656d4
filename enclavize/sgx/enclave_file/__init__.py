"""Enclave files in the format of the Intel SGX SDK: an ELF shared object with metadata in .note.sgxmeta."""

from enclavize.sgx.enclave_file.config import EnclaveConfig
from enclavize.sgx.enclave_file.sign import UnsignedEnclave, check_metadata, measure_enclave, write_signed
from enclavize.sgx.enclave_file.signed import SignedEnclave, read_signed, remeasure
from enclavize.sgx.enclave_file.xml_config import load_config, parse_config

__all__ = [
    "EnclaveConfig",
    "SignedEnclave",
    "UnsignedEnclave",
    "check_metadata",
    "load_config",
    "measure_enclave",
    "parse_config",
    "read_signed",
    "remeasure",
    "write_signed",
]
