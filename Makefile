# Everything is installed into .venv; nothing else on the machine is touched. `make help` lists what can be done.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test clients check format bench prove lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## install Outcrop and all it needs into .venv

demo: $(STAMP) ## start an endpoint and show the guide's examples answered through real clients
	@$(BIN)/outcrop demo

serve: $(STAMP) ## run the endpoint on this machine
	@$(BIN)/outcrop serve

test: $(STAMP) clients ## run all tests, those with real clients too
	$(BIN)/pytest $(PYTEST_ARGS)

prove: $(STAMP) clients ## the long proofs: hostile clients, kills, and random cases in the numbers that were promised
	OUTCROP_PROVE=1 $(BIN)/pytest -n0 tests/test_hostile.py tests/client tests/store tests/service $(PYTEST_ARGS)

clients: $(STAMP) ## install the clients that only the tests use (Node packages)
	@$(BIN)/python -m tests.clients.setup

check: $(STAMP) ## lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict tests/client/typed_usage.py

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## measure speed and memory side by side with others
	$(BIN)/python -m bench $(BENCH_ARGS)

lock: ## pin all dependencies anew, with hashes and without addresses (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-package cmeel --extra all --group dev pyproject.toml -o requirements.lock

clean: ## remove what was installed and cached
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis

# The first Python that is new enough; PYTHON=… chooses another. A pyenv shim can be on the path and not run, so
# each is tried. Debian keeps `venv` in a package of its own. The first line that pip writes into awscli's script can't
# hold a path with spaces, so that script is replaced.
$(STAMP): requirements.lock pyproject.toml
	@set -eu; chosen=; \
	for name in $(PYTHON) python3.13 python3.12 python3.11 python3 python3.14; do \
		if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then chosen=$$name; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then echo "Outcrop needs Python 3.11 or newer; none was found." >&2; exit 1; fi; \
	if ! $$chosen -c 'import ensurepip, venv' 2>/dev/null; then \
		package=$$($$chosen -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
			echo "$$chosen can't make virtual environments: apt-get install $$package" >&2; exit 1; \
		fi; \
		echo "Installing $$package …"; apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$package >/dev/null; \
	fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then $$chosen -m venv --clear $(VENV); fi; \
	echo "Installing into $(VENV) with $$($(BIN)/python --version) …"; \
	quiet=; if [ ! -t 1 ]; then quiet=--quiet; fi; \
	$(BIN)/python -m pip install --disable-pip-version-check $$quiet --no-deps --require-hashes -r requirements.lock; \
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-build-isolation --no-deps -e .; \
	printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m awscli "$$@"\n' >$(BIN)/aws
	@touch $@
