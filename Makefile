# `make` lists the targets. A fresh machine needs only Python 3.11 to 3.13, git and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast lint clean

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "initbench needs Python 3.11 to 3.13; choose one with: make PYTHON=python3.11 ..."; exit 1; }
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
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not gpu and not network and not browser"

lint: $(INSTALLED)  ## check style and types with ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

clean:  ## remove .venv and caches, but no results
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
