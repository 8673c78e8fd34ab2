# AnyMAL. `make help` lists what there is; every target sets up the .venv it needs.

PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet
# Two workers; files stay whole, and run in the order of tests/conftest.py.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

# Nothing here downloads from a model hub.
export HF_HUB_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help demo test test-quick test-all check format serve bench-serve bench-cpu bench-train lock clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/ready  ## Ask the built-in model about an image, a clip, a sound and a motion recording
	@$(BIN)/python -m server.demo

test: .venv/ready  ## Run the tests (CPU, offline)
	$(PYTEST) -m "not slow and not gpu and not network"

test-quick: .venv/ready  ## Run the tests of single parts, for use between two edits
	$(PYTEST) -m "not whole and not slow and not gpu and not network"

test-all: .venv/ready  ## Run the tests, slow and GPU ones included, and find files that got slow
	$(PYTEST) -m "not network" --processor-time

check: .venv/ready  ## Check format, lint, types and spelling
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/codespell

format: .venv/ready  ## Format the code and apply the safe lint fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

serve: .venv/ready  ## Serve the built-in model on http://127.0.0.1:8000
	@$(BIN)/anymal serve

bench-serve: .venv/ready  ## Measure the service beside transformers, and what HTTP costs (5 minutes)
	@$(BIN)/python -m benchmarks.serving.bench

bench-train: .venv/ready  ## Measure one training step beside LLaVA, Idefics2 and BLIP-2 (3 minutes)
	@$(BIN)/python -m benchmarks.training.side_by_side

bench-cpu: .venv/ready  ## Measure a real model beside transformers and llama.cpp: MODEL=DIR GGUF=FILE (10 minutes)
	@$(BIN)/python -m benchmarks.cpu.bench "$(or $(MODEL),$(error give a language model: make bench-cpu MODEL=DIR))" \
		$(if $(GGUF),--gguf "$(GGUF)") $(if $(LLAMA_PYTHON),--llama-python "$(LLAMA_PYTHON)")

lock: .venv/ready  ## Renew requirements.lock from pyproject.toml (torch is pinned above, CUDA comes with it)
	$(PIP) pip-tools
	$(BIN)/pip-compile --quiet --upgrade --strip-extras --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--unsafe-package torch --extra dev --output-file requirements.lock pyproject.toml
	@sed -i -E '/^(nvidia-|cuda-|triton|#|$$)/d' requirements.lock

clean:  ## Remove .venv and the caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Stamps: one per step that costs minutes, so that a second run starts at once.

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "AnyMAL needs Python 3.11 or newer; choose one with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up .venv, once; this takes a minute or two ..."
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/torch: .venv/created
	@echo "  1/3 PyTorch"
	@$(PIP) "$(TORCH)"
	@touch $@

.venv/locked: requirements.lock .venv/torch
	@echo "  2/3 locked dependencies"
	@$(PIP) --requirement requirements.lock
	@touch $@

.venv/ready: pyproject.toml .venv/locked
	@echo "  3/3 AnyMAL"
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@
