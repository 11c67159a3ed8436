# Everything from a fresh machine with Python 3.11: `make demo`, `make test`. `make help` lists the rest.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
# Each peer of benchmarks/against_peers.py has an environment of its own, with torch, torchvision and timm as graft's.
PEERS := benchmarks/peers/.venvs
# The first of these that runs and is new enough; `make setup PYTHON=/path/to/python3` overrides it.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
# Passed on, for example `make test ARGS="-x tests/export"`.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench bench-peers clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-19s %s\n", $$1, $$2}'

setup: $(STAMP) ## .venv with the graft command in it; at once when nothing changed
	@:

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "graft needs Python 3.11 or newer: install it, or name one: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV) || \
		{ echo "No virtual environment could be made: install the venv package of your Python (Debian: python3.11-venv)." >&2; \
		rm -rf $(VENV); exit 2; }
	@echo "Installing into $(VENV); the first time this takes some minutes ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[dev]" || \
		{ echo "The installation failed; the message above says why. It needs a Python package index once: try again with a network." >&2; exit 2; }
	@touch $@

demo: setup ## ten labelled digits a class: graft-mini against the same network from scratch
	@$(BIN)/graft demo $(ARGS)

test: setup ## all tests, a worker a core
	@$(BIN)/python -m pytest -n auto $(ARGS)

check: setup ## style and the rules of the tree
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m pytest tests/test_architecture.py tests/test_catalog.py $(ARGS)

bench: setup ## the measurements of docs/benchmarks.md (long)
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file" $(ARGS); done

bench-peers: setup $(PEERS)/hf/.installed $(PEERS)/fastai/.installed ## graft beside other tools, in environments of their own
	@$(BIN)/python benchmarks/against_peers.py $(ARGS)

$(PEERS)/%/.installed: benchmarks/peers/requirements-%.txt constraints.txt
	@"$(BIN)/python" -m venv --clear $(@D)
	@echo "Installing into $(@D); the first time this takes some minutes ..."
	@$(@D)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -r $< || \
		{ echo "The installation failed; the message above says why. It needs a Python package index once: try again with a network." >&2; exit 2; }
	@touch $@

clean: ## remove .venv and what tests and builds left
	@rm -rf $(VENV) $(PEERS) build dist .pytest_cache .ruff_cache .hypothesis src/*.egg-info
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
