"""How nodes are protected: authenticated under a key that everybody knows, or encrypted under random keys.

Either way a node's tag is that of AES-128-GCM with an IV of zeros. That is sound for encrypted nodes because
no key is used twice.
"""

from __future__ import annotations

import os
import struct
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from enclavize.errors import IntegrityError
from enclavize.libos.occlum.sefs.node import BODY, ENTRY_SIZE, FILE_ID, NODE_SIZE, PLAIN, VERSION

KEY_SIZE = 16
TAG_SIZE = 16
KEY_ID_SIZE = 32

_IV = bytes(12)
_NO_KEY = bytes(KEY_SIZE)

_DERIVATION = struct.Struct("<I64s4xQ32sI4x")
"""Counter, label, node number, key id, length of the key in bits: what the SDK puts through AES-CMAC."""

_LABEL = b"SGX-PROTECTED-FS-METADATA-KEY"


class Protection(Protocol):
    """What protects the nodes of a file. Nodes are changed in place."""

    def seal_nodes(self, nodes: memoryview) -> bytes:
        """Protect whole nodes; return their entries."""

    def open_nodes(self, nodes: memoryview, entries: bytes) -> None:
        """Check whole nodes against their entries and make them plain. Raises IntegrityError."""

    def seal_metadata(self, body: bytes) -> tuple[bytes, bytes]:
        """Return node 0 for its body, and the tag of the body: that is the MAC of the file."""

    def open_metadata(self, node: bytes) -> tuple[bytes, bytes]:
        """Return the body of a node 0 and its tag. Raises IntegrityError."""


class IntegrityOnly:
    """Nodes are stored as they are, with tags under a key of zeros: that finds corruption, no forgery."""

    def __init__(self) -> None:
        self._cipher = AESGCM(_NO_KEY)

    def seal_nodes(self, nodes: memoryview) -> bytes:
        """Return the entries of nodes."""
        tag = self._cipher.encrypt
        return b"".join(
            _NO_KEY + tag(_IV, b"", nodes[offset : offset + NODE_SIZE])
            for offset in range(0, len(nodes), NODE_SIZE)
        )

    def open_nodes(self, nodes: memoryview, entries: bytes) -> None:
        """Check nodes."""
        if self.seal_nodes(nodes) != entries:
            raise IntegrityError("a node differs from its authentication tag")

    def seal_metadata(self, body: bytes) -> tuple[bytes, bytes]:
        """Return node 0 and its tag."""
        tag = self._cipher.encrypt(_IV, b"", body)
        return _metadata_node(bytes(KEY_ID_SIZE), tag, body, integrity_only=True), tag

    def open_metadata(self, node: bytes) -> tuple[bytes, bytes]:
        """Return the body and its tag."""
        _key_id, tag, body = _split_metadata_node(node, integrity_only=True)
        if self._cipher.encrypt(_IV, b"", body) != tag:
            raise IntegrityError("the metadata node differs from its authentication tag")
        return body, tag


class Encrypted:
    """Every node is encrypted under a random key of its own, and node 0 under one derived from the user's."""

    def __init__(self, user_key: bytes) -> None:
        self._user_key = user_key

    def seal_nodes(self, nodes: memoryview) -> bytes:
        """Encrypt nodes; return their entries."""
        count = len(nodes) // NODE_SIZE
        keys = os.urandom(count * KEY_SIZE)
        entries: list[bytes] = []
        for index in range(count):
            key = keys[index * KEY_SIZE : (index + 1) * KEY_SIZE]
            node = nodes[index * NODE_SIZE : (index + 1) * NODE_SIZE]
            sealed = AESGCM(key).encrypt(_IV, node, None)
            node[:] = sealed[:NODE_SIZE]
            entries += (key, sealed[NODE_SIZE:])
        return b"".join(entries)

    def open_nodes(self, nodes: memoryview, entries: bytes) -> None:
        """Decrypt nodes."""
        for index in range(len(nodes) // NODE_SIZE):
            entry = entries[index * ENTRY_SIZE : (index + 1) * ENTRY_SIZE]
            node = nodes[index * NODE_SIZE : (index + 1) * NODE_SIZE]
            try:
                node[:] = AESGCM(entry[:KEY_SIZE]).decrypt(_IV, bytes(node) + entry[KEY_SIZE:], None)
            except InvalidTag as error:
                raise IntegrityError("a node differs from its authentication tag") from error

    def seal_metadata(self, body: bytes) -> tuple[bytes, bytes]:
        """Return node 0, encrypted, and its tag."""
        key_id = os.urandom(KEY_ID_SIZE)
        sealed = AESGCM(self._metadata_key(key_id)).encrypt(_IV, body, None)
        encrypted, tag = sealed[: BODY.size], sealed[BODY.size :]
        return _metadata_node(key_id, tag, encrypted, integrity_only=False), tag

    def open_metadata(self, node: bytes) -> tuple[bytes, bytes]:
        """Return the body, decrypted, and its tag."""
        key_id, tag, encrypted = _split_metadata_node(node, integrity_only=False)
        try:
            return AESGCM(self._metadata_key(key_id)).decrypt(_IV, encrypted + tag, None), tag
        except InvalidTag as error:
            raise IntegrityError(
                "the metadata node does not decrypt", hint="the key is another one, or the file was changed"
            ) from error

    def _metadata_key(self, key_id: bytes) -> bytes:
        derivation = CMAC(AES(self._user_key))
        derivation.update(_DERIVATION.pack(1, _LABEL, 0, key_id, KEY_SIZE * 8))
        return derivation.finalize()


def protection_for(key: bytes | None) -> Protection:
    """Return what protects a file: encryption if there is a key."""
    return IntegrityOnly() if key is None else Encrypted(key)


def _metadata_node(key_id: bytes, tag: bytes, body: bytes, *, integrity_only: bool) -> bytes:
    plain = PLAIN.pack(FILE_ID, *VERSION, key_id, b"", b"", 1, b"", tag, 0, integrity_only)
    return (plain + body).ljust(NODE_SIZE, b"\0")


def _split_metadata_node(node: bytes, *, integrity_only: bool) -> tuple[bytes, bytes, bytes]:
    """Return key id, tag and body of a node 0 that is of the wanted kind."""
    file_id, major, minor, key_id, cpu, isv, user_key, mask, tag, update, kind = PLAIN.unpack_from(node)
    if file_id != FILE_ID or (major, minor) != VERSION:
        raise IntegrityError("this is no protected file of a known version")
    if kind not in {0, 1} or bool(kind) != integrity_only:
        raise IntegrityError(
            "the file is encrypted" if integrity_only else "the file is not encrypted",
            hint="give the key it was made with" if integrity_only else "leave the key out",
        )
    if user_key != 1:
        raise IntegrityError("the file is sealed with a key that only the enclave that wrote it can derive")
    if update != 0:
        raise IntegrityError("the file was left in the middle of a write")
    # Of a user's key nobody reads the versions of CPU and enclave, and of no key its id: no tag covers them.
    unread = (cpu, isv, mask, key_id if integrity_only else b"", node[PLAIN.size + BODY.size :])
    if any(map(any, unread)):
        raise IntegrityError("node 0 of the file has bytes that mean nothing")
    return key_id, tag, node[PLAIN.size : PLAIN.size + BODY.size]
