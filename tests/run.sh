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

# Of the integration tests, those that start registries alone; engines, LibOSes and their servers stay in one process.
with_registries=(tests/integration/oci tests/integration/pipeline)
echo "==> unit and native tests, oci and pipeline run beside; their output follows that of the other integration tests"
"$python" -m pytest --basetemp "$scratch/beside" "$@" tests/unit tests/native "${with_registries[@]}" >"$scratch/log" 2>&1 &
beside=$!
"$python" -m pytest --basetemp "$scratch/integration" "$@" tests/integration "${with_registries[@]/#/--ignore=}"
integration=$?
wait "$beside"
unit=$?
beside=
cat "$scratch/log"
if [ "$integration" -ne 0 ]; then exit "$integration"; fi
exit "$unit"
