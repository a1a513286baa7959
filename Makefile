# Stanch: `make demo` shows it, `make test` proves it. Everything is installed into .venv, by hash.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
REAL := tests/doors tests/systems tests/unit/test_servers.py
FITS := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

.PHONY: help demo test test-real servers range bench up lint docs clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       an alert arrives, a playbook contains it, in a simulated world (first time: some minutes)"
	@echo "make up         Temporal, worker and doors on this machine, for real"
	@echo "make test       all tests that need no other server than Temporal"
	@echo "make range      a simulated company with real servers where they are obtained, to look at and to attack"
	@echo "make servers    install those servers (3 GB, some 10 minutes; nothing else here needs them)"
	@echo "make test-real  tests against them"
	@echo "make bench      cost of Stanch against bare Temporal"
	@echo "make lint       ruff and mypy"
	@echo "make docs       write the generated reference pages"
	@echo "make clean      remove .venv and caches; incidents and evidence stay"

demo: $(VENV)/installed
	@$(BIN)/stanch demo --unattended

up: $(VENV)/installed
	@$(BIN)/stanch up

# Compiled once: where Python is told to write no bytecode, each of the tests' processes would compile it all again.
test: $(VENV)/installed-dev
	@$(BIN)/python -m compileall -q playbooks workflows activities worker
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder -m "not real"

# The demos of doors, the longest, come first; nothing else than these places is collected.
test-real: $(VENV)/installed-dev
	@$(BIN)/python -m pytest -n auto --maxprocesses 2 --dist loadfile --no-loadscope-reorder -m real $(REAL)

servers: $(VENV)/installed
	@$(BIN)/python -m worker.servers.obtain

range: $(VENV)/installed
	@$(BIN)/python -m worker.range --models

bench: $(VENV)/installed-dev
	@$(BIN)/python -m tests.benchmarks.run

lint: $(VENV)/installed-dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

docs: $(VENV)/installed
	@$(BIN)/python -m worker.reference

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The first Python that is new enough and can make an environment; PYTHON=... names another.
$(BIN)/python:
	@for candidate in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
		if "$$candidate" -c '$(FITS)' >/dev/null 2>&1; then found="$$candidate"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Stanch needs Python 3.11 or newer with its venv module; `python3 --version 2>/dev/null || echo no python3` was found." >&2; \
		echo "Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv), or run make PYTHON=/path/to/python." >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with `"$$found" --version` ..."; \
	"$$found" -m venv $(VENV)

# Touched last, so that an interrupted installation is taken up again.
# Without resolving: the files pin everything, and some versions of pip do not hold an extra to its pin.
$(VENV)/installed: requirements.txt requirements-build.txt pyproject.toml | $(BIN)/python
	@echo "Installing Stanch into $(VENV) ..."
	@$(PIP) install --no-deps --require-hashes -r requirements.txt -r requirements-build.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	@echo "Installing what the tests need ..."
	@$(PIP) install --no-deps --require-hashes -r requirements-dev.txt
	@touch $@
