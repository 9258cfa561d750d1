# Every target sets up what it needs: in a fresh clone, any of them can be the first.

# The Pythons that are tested, newest first. The newest that is installed is used, or another with `make PYTHON=...`.
TESTED_PYTHONS := python3.13 python3.12 python3.11
installed_pythons := $(foreach python,$(TESTED_PYTHONS),$(shell $(python) -c 'print("$(python)")' 2>/dev/null))
PYTHON ?= $(firstword $(installed_pythons))

VENV := .venv
BIN := $(VENV)/bin

# What ships of each is a project of its own, with an app and a chalicelib that hide this one's.
EXAMPLES := $(patsubst %/description.py,%,$(wildcard examples/*/description.py))

# Many tests wait for the system more than they compute, so there are more workers than cores.
TEST_WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help setup hooks lint test test-pythons check demo example examples serve fire screenshots chaos record page docs bench-collect bench-send bench-run bench-report bench-pace bench-summary bench-page bench-cost clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(VENV)/.installed  ## install everything into .venv

$(VENV)/.installed: requirements.txt requirements-dev.txt constraints.txt .npmrc package.json package-lock.json
	$(if $(PYTHON),,$(error Python is missing: install one of $(TESTED_PYTHONS)))
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/npm ci --loglevel=error >/dev/null
	touch $@

hooks: setup  ## run `make lint` before each commit (pre-commit)
	$(BIN)/pre-commit install

lint: setup  ## check style, types, and that imports point one way
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@for example in $(EXAMPLES); do \
		echo "mypy $$example"; \
		(cd $$example && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/examples/mypy.ini --cache-dir $(CURDIR)/.mypy_cache/$$example app.py $$(ls -d chalicelib 2>/dev/null)) || exit 1; \
	done
	$(BIN)/lint-imports
	$(BIN)/node node_modules/prettier/bin/prettier.cjs --check --log-level=warn web

test: setup  ## run all tests, several at once
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-pythons: setup  ## run the unit tests on every other installed Python
	@for python in $(installed_pythons); do \
		if [ "$$($$python -c 'import sys; print(sys.version_info[:2])')" != "$$($(BIN)/python -c 'import sys; print(sys.version_info[:2])')" ]; then \
			echo "unit tests on $$python"; \
			venv=$(VENV)-$$python; \
			if ! cmp -s constraints.txt $$venv/constraints.txt || ! cmp -s requirements-dev.txt $$venv/requirements-dev.txt; then \
				$$python -m venv --clear $$venv && \
				$$venv/bin/pip install --quiet --disable-pip-version-check -r requirements-dev.txt && \
				cp constraints.txt requirements-dev.txt $$venv/ || exit 1; \
			fi; \
			$$venv/bin/python -m pytest tests/unit || exit 1; \
		fi; \
	done

check: setup  ## run everything that has to pass before a change lands
	@for part in lint test test-pythons; do \
		began=$$(date +%s); \
		$(MAKE) --no-print-directory $$part || exit 1; \
		echo "make $$part took $$(($$(date +%s) - began)) s"; \
	done

demo: setup  ## run the main job from end to end on this machine, in about a minute
	@$(BIN)/python -m sandbox demo

example: setup  ## run an example workflow from end to end: NAME=registration
	@$(BIN)/python -m examples $(or $(NAME),$(error Say which: make example NAME=registration))

examples: setup  ## run all example workflows from end to end
	@$(BIN)/python -m examples

serve: setup  ## run the whole system on this machine until Ctrl-C, also with your own: APPLICATION=path/application.toml
	@$(BIN)/python -m sandbox serve $(if $(findstring command,$(origin APPLICATION)),"$(APPLICATION)")

fire: setup  ## fire the schedule of a running `make serve`
	@$(BIN)/python -m sandbox fire

screenshots: setup  ## take the pictures of the page for the documents, of the system that `make serve` runs
	@$(BIN)/python -m sandbox screenshots

chaos: setup  ## break everything at once for a minute, then check that nothing was lost or sent twice
	@$(BIN)/python -m sandbox chaos

record: setup  ## record what this version stores and sends, for the upgrade tests of later versions
	@$(BIN)/python -m tests.e2e.record

page: setup  ## build the page: web/ into chalicelib/page/
	@$(BIN)/python -m web.build

docs: setup  ## regenerate what the documents take from the code
	@$(BIN)/python -m docs.generate

bench-collect: setup  ## measure the collector over a million records (some minutes)
	@$(BIN)/python -m benchmarks.collect

bench-run: setup  ## measure how fast a run sends here, compared with a script
	@$(BIN)/python -m benchmarks.run

bench-report: setup  ## measure the report, the dry run and the worklist of a million (some minutes)
	@$(BIN)/python -m benchmarks.report

bench-send: setup  ## measure the CPU that sending one communication takes (a minute)
	@$(BIN)/python -m benchmarks.send

bench-pace: setup  ## simulate what the pace does for applications of many kinds (a minute)
	@$(BIN)/python -m benchmarks.pace

bench-summary: setup  ## measure GET /summary with 100,000 communications and 1,000 runs (two minutes)
	@$(BIN)/python -m benchmarks.summary

bench-page: setup  ## measure how fast the page opens, also over a slow connection (some minutes)
	@$(BIN)/python -m benchmarks.page

bench-cost: setup  ## print the time and the bill of a run: N=1000000 CONCURRENCY=100
	@$(BIN)/python -m benchmarks.cost $(or $(N),1000000) --concurrency $(or $(CONCURRENCY),100)

clean:  ## remove what the targets created
	rm -rf $(VENV) $(VENV)-python* node_modules .sandbox .chalice/deployments .chalice/deployed \
		.mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
