"""Protected files: a sequence of nodes of 4096 bytes, a tree of keys and authentication tags over the data.

Source: the protected files of Intel's SGX SDK (sdk/protected_fs) as Occlum's fork extends them; docs/sefs.md.

    node 0          metadata: a plain part, then a body with the size, the first bytes and the root's entry
    node 97 m + 1   node m of the tree: entries of its 96 data nodes, then of its 32 children in the tree
    the 96 after it its data nodes
"""

import struct

NODE_SIZE = 4096

PLAIN = struct.Struct("<QBB32s16s2sB16s16sBB")
"""file id, major, minor, key id, CPU SVN, ISV SVN, user's key?, attribute mask, tag of the body, update flag,
integrity only? The last byte is Occlum's addition."""

FILE_ID = 0x5347585F46494C45
VERSION = (1, 0)

BODY = struct.Struct("<260sq20x32s3072s")
"""name, size of the content, entry of the root of the tree, the first bytes of the content."""

NAME_SIZE = 260
INLINE_OFFSET = BODY.size - 3072
INLINE_SIZE = 3072
"""Bytes of the content that node 0 holds: a file of no more has no other node."""

ENTRY_SIZE = 32
"""A node's AES-128 key and its GCM tag."""

DATA_NODES = 96
CHILDREN = 32
CHILD_ENTRIES = DATA_NODES * ENTRY_SIZE
"""Where a tree node's entries of children begin."""

GROUP_NODES = 1 + DATA_NODES
GROUP_SIZE = GROUP_NODES * NODE_SIZE
"""One node of the tree and its data nodes, which follow one another in the file."""

GROUP_DATA = DATA_NODES * NODE_SIZE


def data_nodes(size: int) -> int:
    """Return how many data nodes a content of ``size`` bytes has."""
    return max(0, -(-(size - INLINE_SIZE) // NODE_SIZE))


def tree_nodes(size: int) -> int:
    """Return how many tree nodes, each with its group of data nodes, a content has."""
    return -(-data_nodes(size) // DATA_NODES)


def protected_size(size: int) -> int:
    """Return how large the protected file of a content is."""
    return (1 + tree_nodes(size) + data_nodes(size)) * NODE_SIZE


def group_offset(index: int) -> int:
    """Return where a tree node is; its data nodes follow it."""
    return NODE_SIZE + index * GROUP_SIZE


def parent(index: int) -> int:
    """Return the parent of a tree node other than the root."""
    return (index - 1) // CHILDREN


def child_entry(index: int) -> slice:
    """Return where a tree node's entry is in its parent."""
    offset = CHILD_ENTRIES + (index - 1) % CHILDREN * ENTRY_SIZE
    return slice(offset, offset + ENTRY_SIZE)


def has_children(index: int, count: int) -> bool:
    """Tell whether a node of a tree of ``count`` nodes has children."""
    return index * CHILDREN + 1 < count
