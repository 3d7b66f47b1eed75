# make demo    see it work        make test    run every test that needs no Docker        make soak    the long ones whole
# Needs Python 3.11 or newer and make; everything else comes from constraints.txt, pinned and hashed.

VENV := .venv
BIN := $(VENV)/bin
# Which Python to use: the newest that has wheels for everything, unless PYTHON names one (make test PYTHON=python3.12).
PYTHON ?=
READY := $(VENV)/.ready$(if $(PYTHON),-$(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null))
ARGS ?=
# How many processes the tests run in; most of them wait most of the time.
PROCESSES ?= 6

TESTS := $(BIN)/python -m pytest -n $(PROCESSES) --ignore tests/containers
# Which part of their whole size the tests of `make soak` have.
SIZE ?= 1
# How long `make chaos` lets faults happen, and which: the same seed, the same faults; none: new ones.
SECONDS ?= 600
SEED ?=

.PHONY: help setup demo test soak chaos lint bench constraints clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(READY) ## Make .venv with the `connects` command in it (a second time: nothing to do, no network)

$(READY): pyproject.toml constraints.txt
	@sh .ci/setup $(VENV) $(PYTHON)

demo: setup ## See it work: a real Kafka and PostgreSQL, the worker, and a made-up marketplace (ARGS="--seconds 20")
	@$(BIN)/connects demo $(ARGS)

test: setup ## Run all tests that need no Docker; says what it skipped and why (ARGS="-k refunds", PROCESSES=0: in one)
	@$(TESTS) $(ARGS)

soak: setup ## Run the long tests whole; make test has a tenth of each, or of them (SIZE=0.5: half)
	@TEST_SOAK=$(SIZE) $(TESTS) -m soak $(addprefix --ignore tests/,unit contract golden helm guide) $(ARGS)

chaos: setup ## Let faults of every kind happen for SECONDS; SEED says which (it prints the seed)
	@TEST_CHAOS_SECONDS=$(SECONDS) TEST_CHAOS_SEED=$(SEED) $(BIN)/python -m pytest -q tests/chaos/test_random_faults.py

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup ## Measure on this machine; nothing else should be running (ARGS="--events 200000")
	@$(BIN)/python -m benchmarks $(ARGS)

constraints: setup ## Resolve the dependencies of pyproject.toml again, pinned and hashed
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--extra local --extra tracing --extra dev pyproject.toml --output-file constraints.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--constraint constraints.txt pyproject.toml --output-file constraints-runtime.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--constraint constraints.txt --extra tracing pyproject.toml --output-file constraints-tracing.txt
	@echo hatchling | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--constraint constraints.txt - --output-file constraints-build.txt

clean: ## Remove .venv and what tools left behind
	@rm -rf $(VENV) .venv-3.* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
