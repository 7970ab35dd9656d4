#!/usr/bin/env bash
# run.sh [PYTEST_OPTION...]: all tests, in two processes side by side. What the second one prints comes at the end.
set -uo pipefail
set -m # otherwise what runs in the background, and all that it starts, would ignore SIGINT
cd "$(dirname "$0")/.."
python=.venv/bin/python
scratch=$(mktemp -d)
beside=
finish() {
    if [ -n "$beside" ]; then kill "$beside" 2>/dev/null; fi
    rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 130' INT TERM

echo "==> unit and native tests run beside; their output follows that of the integration tests"
"$python" -m pytest --basetemp "$scratch/beside" "$@" tests/unit tests/native >"$scratch/log" 2>&1 &
beside=$!
"$python" -m pytest --basetemp "$scratch/integration" "$@" tests/integration
integration=$?
wait "$beside"
unit=$?
beside=
cat "$scratch/log"
if [ "$integration" -ne 0 ]; then exit "$integration"; fi
exit "$unit"
