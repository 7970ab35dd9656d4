"""Documents that are kept: by digest, bounded, the least recently used ones go."""

from __future__ import annotations

from enclavize.node.engines.documents import Documents
from enclavize.oci.digest import sha256_digest

A, B, C = (sha256_digest(name) for name in (b"a", b"b", b"c"))


def test_the_least_recently_used_goes() -> None:
    documents = Documents(max_bytes=10)
    for digest in (A, B):
        documents.keep(digest, b"12345")
    assert documents.get(A) == b"12345"
    documents.keep(C, b"12345")
    assert (documents.get(A), documents.get(B), documents.get(C)) == (b"12345", None, b"12345")


def test_what_is_kept_twice_counts_once() -> None:
    documents = Documents(max_bytes=10)
    for _ in range(3):
        documents.keep(A, b"12345")
    documents.keep(B, b"12345")
    assert documents.get(A) == documents.get(B) == b"12345"


def test_what_is_too_large_is_not_kept() -> None:
    documents = Documents(max_bytes=4)
    documents.keep(A, b"12345")
    assert documents.get(A) is None
