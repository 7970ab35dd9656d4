"""All kinds."""

from __future__ import annotations

from integration.differential import archives, documents, indexes, layers, writers

KINDS = (*documents.KINDS, *indexes.KINDS, *archives.KINDS, *layers.KINDS, *writers.KINDS)
