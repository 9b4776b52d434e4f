# Two commands matter: `make run` and `make test`. Both set up all they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help run demo test lint types imports pytest broker kafka bench format lock clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/python-found:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "ROOMS needs Python 3.11 or newer as '$(PYTHON)'; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "making the environment in $(VENV) (first time only)"
	@$(PYTHON) -m venv $(VENV) && touch $@

$(VENV)/run-ready: requirements.lock pyproject.toml | $(VENV)/python-found
	@echo "installing what ROOMS runs on"
	@$(BIN)/pip install --require-hashes --progress-bar on -q -r requirements.lock \
	  || { echo "a package could not be installed: see the line above; then run make again"; exit 1; }
	@$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev-ready: requirements-dev.lock $(VENV)/run-ready
	@echo "installing what the checks need"
	@$(BIN)/pip install --require-hashes --progress-bar on -q -r requirements-dev.lock \
	  || { echo "a package could not be installed: see the line above; then run make again"; exit 1; }
	@touch $@

$(VENV)/bench-ready: requirements-bench.lock $(VENV)/run-ready
	@echo "installing what the benchmarks need"
	@$(BIN)/pip install --require-hashes --progress-bar on -q -r requirements-bench.lock \
	  || { echo "a package could not be installed: see the line above; then run make again"; exit 1; }
	@touch $@

run: $(VENV)/run-ready ## start everything on this machine and print where the chat page is
	@exec $(BIN)/rooms up

demo: $(VENV)/run-ready ## play the whole story by itself
	@exec $(BIN)/rooms demo

test: lint types imports pytest broker ## everything that CI runs

lint: $(VENV)/dev-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/dev-ready
	$(BIN)/mypy

imports: $(VENV)/dev-ready
	$(BIN)/lint-imports

pytest: $(VENV)/dev-ready
	$(BIN)/pytest -n 2 --dist loadfile -m "not kafka"

broker: $(VENV)/dev-ready ## Apache Kafka does what ours does, and the pipeline on it
	-@$(BIN)/rooms sandbox kafka --fetch
	$(BIN)/pytest -m kafka tests/kafka/test_conformance.py tests/kafka/test_topics.py tests/kafka/test_pipeline.py

kafka: $(VENV)/dev-ready ## the suites on Apache Kafka, with one broker and with three; skipped without java and mvn, but not in CI
	-@$(BIN)/rooms sandbox kafka --fetch
	$(BIN)/pytest -n 2 --dist loadfile -m kafka tests/kafka

bench: $(VENV)/bench-ready ## measure what it must reach, beside its peers; takes a quarter of an hour
	@exec $(BIN)/python -m benchmarks

format: $(VENV)/dev-ready ## put the code in its usual form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/python-found ## pin all dependencies again, with hashes
	@$(BIN)/pip install -q uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --extra build -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --extra build --extra dev -o requirements-dev.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  pyproject.toml --extra build --extra bench -o requirements-bench.lock

clean: ## forget the environment and all local data
	rm -rf $(VENV) .rooms
