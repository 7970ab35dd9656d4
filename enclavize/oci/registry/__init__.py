"""A client for the OCI distribution API 1.1: it streams both ways and verifies what it reads.

It stands on urllib3. The libraries at hand do less than is needed here, and the docker SDK needs a daemon.
oras-py was looked at for artifacts, over this client in place of its session (its ``do_request``): it has
its own reader of JSON, which differs from that of the containers' world (docs/one-reading.md); it leaves the
bytes of a manifest, and so its digest, to ``requests``; it reads whole blobs into memory, resolves relative
Locations against the registry's root, and takes 0.2 s to import. So it is a peer in tests: what it pushes is
read, and what is pushed here it pulls.
"""
