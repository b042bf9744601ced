# The verbs of this repository; CI calls the same ones. `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
JOBS   ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo up test lint format bench chaos docs clean

help: ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.runtime ## run the demo: real baskets, a pickup, a fraud alert (ARGS=--exit ends by itself)
	@$(BIN)/signalpost demo $(ARGS)

up: $(VENV)/.runtime ## start everything on loopback, in this terminal
	@$(BIN)/signalpost up $(ARGS)

test: $(VENV)/.dev ## every test
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

lint: $(VENV)/.dev ## ruff, basedpyright and the import rules
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/basedpyright --level error

format: $(VENV)/.dev ## put the code into shape
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

bench: $(VENV)/.dev ## our figures beside our peers' (benchmarks/README.md)
	@$(BIN)/python -m benchmarks $(ARGS)

chaos: $(VENV)/.dev ## faults by seed (SEED=7: a storm; RUNS=200: crash runs; MUTANTS=all: docs/faults.md)
	@$(BIN)/python -m tests.faults $(if $(RUNS),runs --runs $(RUNS),$(if $(MUTANTS),mutants,storm)) --seed $(or $(SEED),1) $(ARGS)

docs: $(VENV)/.runtime ## redraw the journeys in docs/journeys.md
	@$(BIN)/signalpost journeys --write docs/journeys.md

clean: ## remove the virtual environment and all state
	rm -rf $(VENV) .signalpost

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Signalpost needs Python 3.11 or newer; say which with make PYTHON=python3.12 …"; exit 1; }
	@echo "Making a virtual environment in $(VENV) (once, a minute or so) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip
	@touch $@

$(VENV)/.runtime: $(VENV)/.made pyproject.toml constraints.txt
	@$(PIP) --editable '.[postgres]'
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@$(PIP) --group dev
	@touch $@
