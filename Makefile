PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
PYTEST_ARGS ?= -n auto

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test format lint types unit test-torch test-marginaleffects figures bench clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.core  ## Fit and compare the africa example
	$(BIN)/mlekit fit "miltcoup ~ parties" --data africa --family poisson
	$(BIN)/mlekit compare "miltcoup ~ parties" --data africa --family poisson

# All four run even when one fails; pytest last, so that its summary closes the output.
test: $(VENV)/.test  ## Check format, lint and types, and run every test and doctest
	@$(MAKE) --no-print-directory --keep-going format lint types unit

format: $(VENV)/.test  ## Check the formatting
	$(BIN)/ruff format --check .

lint: $(VENV)/.test  ## Check the code with ruff
	$(BIN)/ruff check .

types: $(VENV)/.test  ## Check the types with mypy
	$(BIN)/mypy mlekit

unit: $(VENV)/.test  ## Run the tests and doctests alone
	$(BIN)/pytest $(PYTEST_ARGS)

# PyTorch is large, so it is in no other set of extras; without it these tests are skipped.
test-torch: $(VENV)/.test $(VENV)/.torch  ## Compare training with PyTorch, step by step
	$(BIN)/pytest tests/test_torch*.py

# It takes an older polars than the other tests, so it has an environment of its own.
test-marginaleffects: | $(BIN)/python  ## Hand fits to the package marginaleffects
	$(PYTHON) -m venv $(VENV)/marginaleffects
	$(VENV)/marginaleffects/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[marginaleffects]' pytest
	$(VENV)/marginaleffects/bin/python -m pytest tests/test_adapters.py

figures: $(VENV)/.test  ## Draw the pictures of docs/lecture anew, by the code on its pages
	MLEKIT_FIGURES=docs/lecture/figures $(BIN)/pytest --quiet docs/lecture

bench: $(VENV)/.bench  ## Run every benchmark
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

clean:  ## Remove the environment, the builds and the caches
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of extras: an install is repeated only when pyproject.toml changes.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	  "mlekit needs Python 3.11 or later, this is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: EXTRAS := plot
$(VENV)/.test: EXTRAS := test
$(VENV)/.bench: EXTRAS := bench
$(VENV)/.torch: EXTRAS := torch
$(VENV)/.core $(VENV)/.test $(VENV)/.bench $(VENV)/.torch: pyproject.toml | $(BIN)/python
	$(PIP) --editable '.[$(EXTRAS)]'
	@touch $@
