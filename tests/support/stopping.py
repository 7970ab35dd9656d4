"""Ending servers that tests have started."""

from __future__ import annotations

import signal
import subprocess


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server; some take two signals, and one in an enclave may have no handler yet."""
    for _ in range(6):
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    process.wait()
