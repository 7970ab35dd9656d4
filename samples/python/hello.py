"""Threads, an event loop, hashing and JSON: the standard library with its extension modules."""

import asyncio
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

with ThreadPoolExecutor(4) as pool:
    digests = list(pool.map(lambda number: hashlib.sha256(b"%d" % number).hexdigest()[:8], range(8)))


async def answer():
    return await asyncio.to_thread(json.dumps, digests)


print("Hello from Python:", asyncio.run(answer()))
