# Everything runs in .venv, which is made once from constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
WORKDIR ?= runs
EXTRAS ?= test

.DEFAULT_GOAL := help
.PHONY: help setup speedup sweep test test-all benchmark format torch

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## create .venv with the pinned packages

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "normlab needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

speedup: .venv/ready ## train and plot the speed-up experiment on the digits
	$(BIN)/python scripts/reproduce.py speedup --scale=digits --workdir=$(WORKDIR)

sweep: .venv/ready ## train and plot norms x learning-rate multipliers on the digits
	$(BIN)/python scripts/reproduce.py lr_multipliers --scale=digits --workdir=$(WORKDIR)

test: .venv/ready ## run the tests but for the slow ones: five minutes on two cores
	$(BIN)/python -m pytest -n 2 --dist=worksteal --quiet -m 'not slow'

test-all: .venv/ready ## run all tests: kills, Ray clusters, several processes too
	$(BIN)/python -m pytest -n 2 --dist=worksteal --quiet

benchmark: .venv/ready ## time a training step beside plain Flax and PyTorch
	$(BIN)/python scripts/benchmark.py train

format: .venv/ready ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

torch: .venv/ready ## add PyTorch, which some tests and benchmarks compare with
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
