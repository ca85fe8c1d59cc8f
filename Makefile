# Everything runs in .venv, which is made once from constraints.txt and keeps its
# Python. Another one (make test PYTHON=python3.13) makes it anew; the newest
# releases of everything have an environment of their own, .venv-newest.
PYTHON ?= $(or $(wildcard .venv/bin/python),python3)
NEWEST ?= $(shell bash .ci/newest_python)
BIN := .venv/bin
WORKDIR ?= runs
EXTRAS ?= lab,test
TESTS ?=
INSTALL := -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
PYTEST := -m pytest -n 2 --dist=worksteal --quiet
MINOR := -c 'import sys; print(sys.version_info[:2])'

# Whether a Python was asked for that is not the one of .venv.
ifneq ($(filter command% environment,$(origin PYTHON)),)
ifneq ($(shell $(PYTHON) $(MINOR) 2>/dev/null),$(shell $(BIN)/python $(MINOR) 2>/dev/null))
OTHER := other_python
endif
endif

.DEFAULT_GOAL := help
.PHONY: help setup speedup sweep test test-all test-newest benchmark docs format torch other_python

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## create .venv with the pinned packages

.venv/ready: pyproject.toml constraints.txt $(OTHER)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "normlab needs Python 3.11 or newer; set PYTHON=python3.x")'
	$(if $(OTHER),rm -rf .venv)
	$(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) --constraint constraints.txt
	@touch $@

.venv-newest/ready: pyproject.toml
	rm -rf .venv-newest
	$(NEWEST) -m venv .venv-newest
	.venv-newest/bin/python $(INSTALL)
	@touch $@

speedup: .venv/ready ## train and plot the speed-up experiment on the digits
	$(BIN)/python scripts/reproduce.py speedup --scale=digits --workdir=$(WORKDIR)

sweep: .venv/ready ## train and plot norms x learning-rate multipliers on the digits
	$(BIN)/python scripts/reproduce.py lr_multipliers --scale=digits --workdir=$(WORKDIR)

test: .venv/ready ## run the tests but for the slow ones: eight minutes on two cores
	$(BIN)/python $(PYTEST) -m 'not slow' $(TESTS)

test-all: .venv/ready ## run all tests: kills, Ray clusters, several processes too
	$(BIN)/python $(PYTEST) $(TESTS)

test-newest: .venv-newest/ready ## run the tests on the newest Python here, with the newest releases
	.venv-newest/bin/python $(PYTEST) -m 'not slow' $(TESTS)

benchmark: .venv/ready ## time a training step beside plain Flax and PyTorch
	$(BIN)/python scripts/benchmark.py train

docs: .venv/ready ## regenerate what the documents show of results and code
	$(BIN)/python -m docs.generator

format: .venv/ready ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

torch: .venv/ready ## add PyTorch, which some tests and benchmarks compare with
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
