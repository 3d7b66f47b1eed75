# make demo    see it work        make test    run every test that needs no Docker
# Needs Python 3.11 or newer and make; everything else comes from constraints.txt, pinned and hashed.

VENV := .venv
BIN := $(VENV)/bin
# The first that runs (a version manager's shim may not), is new enough and can make an environment.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$name -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$name && break; done)
ARGS ?=

.PHONY: help setup demo test lint bench constraints clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.ready ## Make .venv with the `connects` command in it (a second time: nothing to do, no network)

$(VENV)/.ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make setup: found no Python 3.11 or newer that has the venv module (Debian: python3-venv); make PYTHON=/path/to/python3 names another" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make setup: $(PYTHON) is older than 3.11; use make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make setup: $(PYTHON) has no venv module; install it (Debian: python3-venv)" >&2; exit 1; }
	@echo "installing into $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## See it work: a real Kafka and PostgreSQL, the worker, and a made-up marketplace (ARGS="--seconds 20")
	@$(BIN)/connects demo $(ARGS)

test: setup ## Run all tests that need no Docker; says what it skipped and why (ARGS="-k refunds")
	@$(BIN)/python -m pytest --ignore tests/containers $(ARGS)

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup ## Measure on this machine; nothing else should be running (ARGS="--events 200000")
	@$(BIN)/python -m benchmarks $(ARGS)

constraints: setup ## Resolve the dependencies of pyproject.toml anew, pinned and hashed
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra local --extra dev pyproject.toml --output-file constraints.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--constraint constraints.txt pyproject.toml --output-file constraints-runtime.txt
	@echo hatchling | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--constraint constraints.txt - --output-file constraints-build.txt

clean: ## Remove .venv and what tools left behind
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
