"""Start a command and tell what it took: JSON on the descriptor that is the first argument.

The kernel counts as peak memory of a process also what its parent had when it was started, so the benchmark
itself starts none that it measures. What is told is the command's own time, not that of this program.
"""

import json
import os
import sys
import time


def main() -> int:
    """Run the command to its end; return its exit code."""
    report, command = int(sys.argv[1]), sys.argv[2:]
    start = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_CLOSE, report)])
    _pid, status, usage = os.wait4(process, 0)
    found = {
        "seconds": time.perf_counter() - start,
        "processor": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss * 1024,
    }
    os.write(report, json.dumps(found).encode())
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
