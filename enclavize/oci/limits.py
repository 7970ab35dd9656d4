"""Bounds on what an image may ask of us. What is outside them is refused before memory or disk is spent."""

MAX_MANIFEST_SIZE = 4 << 20
"""Bytes of a manifest or index: what every registry accepts (distribution-spec, "Pushing Manifests")."""

MAX_CONFIG_SIZE = 8 << 20
"""Bytes of an image configuration."""

MAX_LAYERS = 127
"""Layers of a source image: the limit of overlay mounts in container engines."""

MAX_INDEX_ENTRIES = 1024
"""Entries of one image index."""

MAX_INDEX_DEPTH = 4
"""Image indexes nested in one another."""

MAX_INDEX_LOOKS = 32
"""Entries without a platform, of all indexes, whose configuration is read to find one image."""

MAX_BLOB_SIZE = 1 << 40
"""Bytes of one blob."""

MAX_RATIO = 200
"""Bytes that one compressed byte may become, in layers and archives beyond a size that is free."""

MAX_ARCHIVE_SIZE = 1 << 40
"""Bytes of an archive after its outer compression is removed."""

ARCHIVE_FREE_SIZE = 32 << 20
"""Bytes that any compressed archive may become: they are written to the disk."""

MAX_ARCHIVE_MEMBERS = 100_000
"""Members of an image archive (not of a layer)."""

MAX_CONFIG_ITEMS = 100_000
"""Elements of one list or map in a manifest or configuration."""
