"""A client for the OCI distribution API 1.1: it streams both ways and verifies what it reads.

It stands on urllib3. The libraries at hand do less than is needed here, and the docker SDK needs a daemon.
oras-py was looked at for artifacts and layouts, over this client in place of its session. Replacing its
``do_request`` is not enough: it resolves a relative Location against the registry's root, leaves a manifest's
bytes, and so its digest, to ``requests``, reads whole blobs into memory, repeats whatever fails, and reads
JSON in another way than the containers' world (docs/one-reading.md). Each of these would have to be replaced
as well, and they are all of what would be used of it. So it is a peer in tests: artifacts and layouts of
either are read by the other.
"""
