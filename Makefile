# Every verb does its own set-up: nothing but Python (>= 3.11) and make is needed; uv is used where it is there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: demo test check lint types fast bench recordings docs clean setup

setup: $(STAMP)

$(STAMP): pyproject.toml
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing $(VENV) && uv pip install --quiet --python $(BIN)/python -e . --group dev; \
	else \
	  $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' && $(BIN)/python -m pip install --quiet -e . --group dev; \
	fi
	@touch $@

demo: $(STAMP) ## run the demo: sandboxes, a tiny shop and the server; HEADLESS=1 plays the whole story and exits
	@$(BIN)/bursar demo $(if $(HEADLESS),--headless)

test: check ## everything that can run here: fast tests, then PostgreSQL, processes, browser and long properties
	@$(BIN)/python -m pytest -q -m "slow or browser or processes"

check: lint types fast ## lint, types and the fast tests

lint: $(STAMP)
	@$(BIN)/ruff check -q . && $(BIN)/ruff format -q --check .

types: $(STAMP)
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/pyright --warnings >/tmp/pyright.$$$$ 2>&1 || { cat /tmp/pyright.$$$$; rm -f /tmp/pyright.$$$$; exit 1; }; rm -f /tmp/pyright.$$$$

fast: $(STAMP)
	@$(BIN)/python -m pytest -q -n auto

bench: $(STAMP) ## deliveries a second against single-row durable inserts, in one run
	@$(BIN)/python benchmarks/ingest.py

recordings: $(STAMP) ## replay recordings of a real server: make recordings RECORDINGS=DIR
	@$(BIN)/python -m bursar_btcpay.recordings "$(RECORDINGS)"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
