# Two cores compile llama.cpp in about three minutes; everything else takes one.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DOCS ?=
STAMP := $(VENV)/.installed
# Tests wait for servers, disks and clocks half of their time; each process loads models of its own.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses=4

# Without these flags GCC breaks llama.cpp's kernels for Intel's AMX (core/inference/amx.py).
ifneq ($(shell grep -sm1 amx_int8 /proc/cpuinfo),)
export CMAKE_ARGS ?= -DCMAKE_CXX_FLAGS='-fno-tree-dse -fno-dse'
# pip keeps what it compiled before, whatever the flags were.
export PIP_NO_CACHE_DIR ?= 1
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint types bench clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	@echo "Setting up $(VENV). The first time this compiles llama.cpp: about three minutes on two cores."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; rm -rf $(VENV); exit 1)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python tools/install_with_progress.py -e ".[server,notebooks,dev]"
	@touch $@

setup: $(STAMP) ## Make .venv and install everything

demo: $(STAMP) ## Show the assistant on real documents, offline (DOCS=path for your own)
	@$(BIN)/freehold demo $(DOCS)

test: $(STAMP) ## Run the test suite, without a network where the system has a way (loopback stays)
	@$(BIN)/python tools/offline.py $(PYTEST) --dist loadfile -m "not slow"

test-slow: $(STAMP) ## Run the long tests: kills, servers, thousands of random operations
	@$(PYTEST) -m slow

lint: $(STAMP) ## Check style
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP) ## Check types
	@$(BIN)/python tools/link_packages.py
	@cd .typing && ../$(BIN)/mypy --config-file ../pyproject.toml -p freehold
	@cd .typing && ../$(BIN)/mypy --config-file ../pyproject.toml ../tests/typing

bench: $(STAMP) ## Run every benchmark, short
	@for file in benchmarks/[a-z]*.py; do $(BIN)/python -m benchmarks.$$(basename $$file .py) --quick || exit 1; done

clean: ## Remove what the other targets made
	rm -rf $(VENV) .typing .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
