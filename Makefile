# Every target does all of its own set-up on a fresh Debian 12: packages, virtual environment, native build.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

DEMO_PACKAGES := python3 python3-venv docker-registry skopeo umoci busybox-static runc
TEST_PACKAGES := $(DEMO_PACKAGES) erofs-utils fsverity golang-go musl-tools docker.io containerd gcc libc6-dev strace time softhsm2 openssl libarchive-tools buildah podman zstd iproute2 iptables

# What runs programs in the builtin LibOS.
STRICT_TESTS := $(addprefix tests/,native/core $(addprefix integration/,run children network servers foreign exec differential/test_runs.py \
  $(addprefix compat/,test_corpus.py test_servers.py)))

NATIVE_SOURCES := $(shell find native -name .cache -prune -o -type f -print)

.PHONY: demo test test-long check format native bench bench-long release-digests loader-names wheel image clean packages-demo packages-test
.DEFAULT_GOAL := test

demo: packages-demo $(VENV)/.installed native
	@bash samples/demo.sh

test: packages-test $(VENV)/.installed native
	@tests/run.sh

test-long: packages-test $(VENV)/.installed native
	@ENCLAVIZE_TEST_SCALE=1.0 tests/run.sh --timeout 3600
	@ENCLAVIZE_TEST_STRICT=1 $(BIN)/python -m pytest --timeout 3600 $(STRICT_TESTS)

bench: packages-test $(VENV)/.installed native
	@PYTHONPATH=tests $(BIN)/python -m bench --output build/bench.json

# Also beside Gramine and gVisor, under containerd, and on the fake hardware.
bench-long: packages-test $(VENV)/.installed native
	@PYTHONPATH=tests $(BIN)/python -m bench --long --output build/bench.json

check: $(VENV)/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python native/rooms.py

format: $(VENV)/.installed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

native: enclavize/_native/.built

# A release step: `enclavize verify` knows released components by their digests. To be committed before the tag.
release-digests: $(VENV)/.installed
	@$(BIN)/python native/release.py

# After a change of the table in Python, from which the LibOS has its own.
loader-names: $(VENV)/.installed
	@$(BIN)/python native/loader_names.py

wheel: $(VENV)/.installed
	@$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

# For the node's daemon; needs the registry that pip asks.
image: $(VENV)/.installed native
	@$(BIN)/python native/image.py dist/enclavize-image.tar enclavize:latest

packages-demo:
	@bash samples/debian-packages.sh $(DEMO_PACKAGES)

packages-test:
	@bash samples/debian-packages.sh $(TEST_PACKAGES)

$(VENV)/bin/python:
	@echo "==> virtual environment"
	@$(PYTHON) -m venv $(VENV) || { echo "python3-venv is missing: run 'make demo' as root, or apt-get install python3-venv" >&2; exit 1; }

# The native code is compiled by the build hook of this install, with the compiler that pip brings.
$(VENV)/.installed: pyproject.toml native/hatch_build.py | $(VENV)/bin/python
	@echo "==> Python packages and native build (the first one takes about two minutes)"
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --group dev
	@$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[fast]"
	@touch enclavize/_native/.built $@

enclavize/_native/.built: $(NATIVE_SOURCES) | $(VENV)/.installed
	@echo "==> native build"
	@$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	@touch $@

clean:
	rm -rf $(VENV) build dist enclavize/_native native/.cache .pytest_cache .mypy_cache .ruff_cache
