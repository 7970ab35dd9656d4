"""Measuring large enclaves beside hashing alone; what the signing service does under load."""

from __future__ import annotations

import base64
import http.client
import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.harness import Row, megabytes, run, seconds
from enclavize.sgx.enclave_file import EnclaveConfig, measure_enclave
from enclavize.sgx.sigstruct import Sigstruct
from enclavize.signing.service.protocol import SIGN_PATH
from support.signing_service import running_service
from support.vectors import GRAMINE, INTEL, KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.harness import Sample
    from support.signing_service import Service

LARGE, SMALL = 64 << 30, 1 << 30
"""Bytes of the enclave that is timed, and of the one that shows that memory does not grow."""

RECORD = 64
PAGE = 4096
RATIO = 1.5
"""How much slower than hashing as many bytes measuring may be."""

FLAT = 4_000_000
"""Bytes by which peak memory may differ between the two sizes: the allocator's."""

ROUNDS = 5
REQUESTS = 4000
CONNECTIONS = 8

_HASH = """
import hashlib, sys
block = bytes(1 << 18)
sha256 = hashlib.sha256()
for _ in range(int(sys.argv[1]) // len(block)):
    sha256.update(block)
print(sha256.hexdigest())
"""


def signing_rows(base: Path) -> list[Row]:
    """Measure the drop-in tools on 64 GiB, and the service with a key in a PEM file."""
    folder = base / "signing"
    folder.mkdir()
    return [
        _measuring_row("sign a Gramine enclave of 64 GiB", lambda size: _gramine(folder, size)),
        _measuring_row("gendata, Intel SDK enclave, heap of 64 GiB", lambda size: _intel(folder, size)),
        *_service_rows(folder),
    ]


def _gramine(folder: Path, size: int) -> list[str | Path]:
    text = (GRAMINE / "cases/small_256M/manifest.toml").read_text().replace('"256M"', f'"{size >> 30}G"')
    manifest = folder / f"{size}.manifest"
    manifest.write_text(text)
    tool = "from enclavize.signing.gramine_sgx_sign_cli import main; main()"
    command: list[str | Path] = [
        sys.executable,
        "-c",
        tool,
        "-m",
        manifest,
        "-o",
        folder / "out.manifest.sgx",
    ]
    return [*command, "-k", KEY, "-l", GRAMINE / "libpal/standin_a.so", "-d", "2026-11-23", "-q"]


def _intel(folder: Path, size: int) -> list[str | Path]:
    config = folder / f"{size}.xml"
    config.write_text(
        f"<EnclaveConfiguration><HeapMinSize>{size:#x}</HeapMinSize><HeapMaxSize>{size:#x}</HeapMaxSize>"
        "</EnclaveConfiguration>"
    )
    command: list[str | Path] = [sys.executable, "-m", "enclavize.signing.sgx_sign_cli", "gendata"]
    enclave = INTEL / "enclaves/enclave_a.so"
    return [*command, "-enclave", enclave, "-config", config, "-out", folder / "material.bin"]


def _measuring_row(name: str, command: Callable[[int], Sequence[str | Path]]) -> Row:
    """Compare whole commands: both start Python. An enclave has a record of 64 bytes a page, and few more."""
    small, large = command(SMALL), command(LARGE)
    hashing = [sys.executable, "-c", _HASH, str(LARGE // PAGE * RECORD)]
    flat = run(small).peak
    pairs = [(run(large), run(hashing)) for _ in range(ROUNDS)]
    ours, peer = (min(samples, key=_duration) for samples in zip(*pairs, strict=True))
    ratio = ours.seconds / peer.seconds
    return Row(
        name=name,
        target=f"<= {RATIO} x hashlib, flat memory",
        ours=f"{seconds(ours.seconds)} ({ratio:.2f} x), {megabytes(ours.peak)}; at 1 GiB {megabytes(flat)}",
        peer=f"hashlib alone {seconds(peer.seconds)}",
        met=ratio <= RATIO and ours.peak - flat <= FLAT,
    )


def _duration(sample: Sample) -> float:
    return sample.seconds


@dataclass(frozen=True, kw_only=True)
class _Load:
    rate: float
    latencies: list[float]


def _service_rows(folder: Path) -> list[Row]:
    measurement = measure_enclave(
        INTEL / "enclaves/enclave_a.so", EnclaveConfig(disable_debug=True)
    ).measurement
    materials = [Sigstruct(measurement=measurement, date=0x20260101 + day).signed_bytes() for day in range(9)]
    with running_service(folder, {"bench": {}}, server={"max_connections": 1000}) as service:
        _load(service, materials, REQUESTS // 10)
        load = _load(service, materials, REQUESTS)
        alone = _load(service, materials, REQUESTS // 10, connections=1)
    p99 = statistics.quantiles(load.latencies, n=100)[-1]
    cores = len(os.sched_getaffinity(0))
    return [
        Row(
            name=f"signing service, {CONNECTIONS} connections, {cores} cores",
            target="-",
            ours=f"{load.rate:.0f} requests/s, p99 {seconds(p99)}",
            peer=f"openssl alone {_openssl_rate(cores):.0f} signatures/s",
            met=None,
        ),
        Row(
            name="signing service, 1 connection",
            target="-",
            ours=f"median {seconds(statistics.median(alone.latencies))}",
            peer="-",
            met=None,
        ),
    ]


def _load(
    service: Service, materials: Sequence[bytes], requests: int, connections: int = CONNECTIONS
) -> _Load:
    """Ask over connections that stay open. Client and service share the processor."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    for number in range(requests):
        waiting.put(materials[number % len(materials)])
    latencies: list[float] = []
    headers = {"Authorization": f"Bearer {service.token('bench')}"}

    def ask() -> None:
        connection = http.client.HTTPSConnection("127.0.0.1", service.port, context=service.tls())
        connection.connect()
        while True:
            try:
                material = waiting.get_nowait()
            except queue.Empty:
                connection.close()
                return
            start = time.perf_counter()
            connection.request("POST", SIGN_PATH, body=material, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            latencies.append(time.perf_counter() - start)
            assert answer.status == 200, body
            assert len(base64.b64decode(json.loads(body)["signature"])) == 384

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    duration = time.perf_counter() - start
    if len(latencies) != requests:
        raise SystemExit(f"the signing service answered {len(latencies)} of {requests} requests")
    return _Load(rate=requests / duration, latencies=latencies)


def _openssl_rate(cores: int) -> float:
    """Signatures a second with RSA-3072 on all cores."""
    command = ["openssl", "speed", "-mr", "-seconds", "2", "-multi", str(cores), "rsa3072"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # +F2:INDEX:BITS:SIGNATURES PER SECOND:VERIFICATIONS PER SECOND
    last = [line for line in output.splitlines() if line.startswith("+F2:")][-1]
    return float(last.split(":")[3])
