"""A client for the OCI distribution API 1.1: it streams both ways and verifies what it reads.

The libraries at hand do less than is needed here: oras-py reads whole blobs into memory to upload them, does
not verify downloads, cannot mount blobs, keeps one token for all repositories and knows no timeouts; the
docker SDK needs a daemon. This client stands on urllib3.
"""
