# Every target sets up what it needs: a fresh clone with Python 3.11 and make can run any of them first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help setup lint test check demo serve fire chaos openapi bench-collect clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(VENV)/.installed  ## a virtual environment with everything in it (.venv)

$(VENV)/.installed: requirements.txt requirements-dev.txt constraints.txt package.json
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@if command -v npm >/dev/null; then npm ci --silent --no-audit --no-fund; \
	else echo "npm is not installed: the state machine is checked without asl-validator"; fi
	touch $@

lint: setup  ## ruff and mypy, strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: setup  ## all tests
	$(BIN)/python -m pytest

check: lint test  ## what has to pass before anything lands

demo: setup  ## the main job from end to end, on this machine, in under two minutes
	@$(BIN)/python -m sandbox demo

serve: setup  ## the whole system on this machine, until Ctrl-C
	@$(BIN)/python -m sandbox serve

fire: setup  ## fire the schedule of a running `make serve` now
	@$(BIN)/python -m sandbox fire

chaos: setup  ## break everything at once, and count that each communication is delivered exactly once
	@$(BIN)/python -m sandbox chaos

openapi: setup  ## write docs/openapi.json anew, from the routes and types
	$(BIN)/python -c "import json; from chalicelib import openapi; print(json.dumps(openapi.document(), indent=2))" > docs/openapi.json

bench-collect: setup  ## the collector over a million records: time and memory, within bounds (some minutes)
	@$(BIN)/python -m benchmarks.collect

clean:  ## remove what the targets made
	rm -rf $(VENV) node_modules .sandbox .chalice/deployments .chalice/deployed .mypy_cache .ruff_cache .pytest_cache .hypothesis
