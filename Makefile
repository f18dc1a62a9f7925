# `make` lists the targets. A fresh machine needs Python 3.11 to 3.13, git and make, nothing else.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast lint clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "initbench needs Python 3.11 to 3.13; name one with: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(INSTALLED)  ## install into .venv, with the tools for development

demo: $(INSTALLED)  ## train a real sweep on embedded data (2 to 5 minutes) and write its report
	$(BIN)/initbench run init=he,xavier,lecun,orthogonal,torch_default,normal,normal_small \
	  act=relu,tanh,sigmoid,gelu depth=5,20 --seeds 3 --name demo --out results/demo
	$(BIN)/initbench report results/demo

test: $(INSTALLED)  ## all tests, a CPU smoke sweep among them
	$(BIN)/pytest

test-fast: $(INSTALLED)  ## the tests that take no longer than a coffee sip
	$(BIN)/pytest -m "not slow and not gpu and not network and not browser"

lint: $(INSTALLED)  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

clean:  ## remove the environment and caches, never results
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
