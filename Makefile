# Every verb does its own set-up: nothing but Python (>= 3.11) and make is needed; uv is used where it is there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: demo test check lint types fast long bench faults recordings million docs clean setup help

help: ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

setup: $(STAMP) ## make the virtual environment

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; name one: make PYTHON=python3.12 …"; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && uv pip install --quiet --python $(BIN)/python -e . --group dev; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' && $(BIN)/python -m pip install --quiet -e . --group dev; \
	fi
	@touch $@

demo: $(STAMP) ## sandboxes, a tiny shop and the server, on a page; HEADLESS=1 plays the whole story and exits
	@$(BIN)/bursar demo $(if $(HEADLESS),--headless)

test: check long ## everything that can run here

check: lint types fast ## lint, types and the fast tests

lint: $(STAMP)
	@$(BIN)/ruff check -q . && $(BIN)/ruff format -q --check . && echo "lint: $$(git ls-files '*.py' | wc -l) files clean"

types: $(STAMP)
	@$(BIN)/mypy
	@$(BIN)/pyright --warnings

fast: $(STAMP)
	@$(BIN)/python -m pytest -q -n auto

long: $(STAMP)
	@$(BIN)/python -m pytest -q -n auto --dist loadfile -m "(slow or browser or processes) and not million"

bench: $(STAMP) ## deliveries a second against single-row durable inserts, in one run
	@$(BIN)/python benchmarks/ingest.py

faults: $(STAMP) ## the fault matrix: operation, edge, kind of fault
	@$(BIN)/python -m bursar.testing.faults

recordings: $(STAMP) ## replay recordings of a real server: make recordings RECORDINGS=DIR
	@$(BIN)/python -m bursar_btcpay.recordings "$(RECORDINGS)"

million: $(STAMP) ## a million hostile requests at the webhook URL (tens of minutes)
	@BURSAR_MILLION=1 $(BIN)/python -m pytest -q -s -m million

docs: $(STAMP) ## draw the generated parts of the docs again
	@$(BIN)/python tests/generate_docs.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
