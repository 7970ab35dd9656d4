"""Threads, hashing and JSON: the standard library with its extension modules."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

with ThreadPoolExecutor(4) as pool:
    digests = list(pool.map(lambda number: hashlib.sha256(b"%d" % number).hexdigest()[:8], range(8)))
print("Hello from Python:", json.dumps(digests))
