"""SEFS: the images that Occlum mounts as root file systems, written, read and checked without an enclave.

An image is a folder of protected files (``node``, ``protection``, ``writer``, ``reader``): one named
``metadata`` with all inodes, and one for the content of each inode (``structures``). ``pack`` makes one of a
``tree``, ``unpack`` gives the tree back or only verifies. docs/sefs.md describes the format.
"""
