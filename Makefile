# `make` lists the targets. A fresh machine needs only Python 3.11 to 3.15, git and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
FAST := -n 2 --dist worksteal -m "not slow and not gpu and not network and not browser"

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast test-lowest test-newest lint clean

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 16))' || \
	  { echo "initbench needs Python 3.11 to 3.15; choose one with: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(INSTALLED)  ## install initbench and the development tools into .venv

demo: $(INSTALLED)  ## train a small sweep that needs no download (2 to 5 minutes) and write its report
	$(BIN)/initbench run init=he,xavier,lecun,orthogonal,torch_default,normal,normal_small \
	  act=relu,tanh,sigmoid,gelu depth=5,20 --seeds 3 --name demo --out results/demo
	$(BIN)/initbench report results/demo

test: $(INSTALLED)  ## run all tests, on two cores
	$(BIN)/pytest -n 2 --dist worksteal

test-fast: $(INSTALLED)  ## run the fast tests only
	$(BIN)/pytest $(FAST)

test-lowest: RESOLUTION := lowest-direct
test-lowest: .venv-lowest/.installed  ## run the fast tests with the lowest versions that pyproject.toml allows
	.venv-lowest/bin/pytest $(FAST)

test-newest: RESOLUTION := highest
test-newest: .venv-newest/.installed  ## run the fast tests with the newest versions that pyproject.toml allows
	.venv-newest/bin/pytest $(FAST)

.venv-%/.installed: pyproject.toml
	$(PYTHON) -m venv --clear .venv-$*
	.venv-$*/bin/pip install --quiet --disable-pip-version-check uv
	.venv-$*/bin/uv pip install --quiet --python .venv-$* --resolution $(RESOLUTION) --editable '.[dev]'
	@touch $@

lint: $(INSTALLED)  ## check style and types with ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

clean:  ## remove .venv and caches, but no results
	rm -rf .venv .venv-* .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
