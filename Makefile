# make help lists the targets. Everything is installed into .venv from the pinned requirement files.
PYTHON ?= python3
BIN := .venv/bin
# Test processes, each with databases of its own; a file's tests stay together. One more than a small machine has cores, as some wait.
PROCESSES ?= 3
PYTEST = $(BIN)/python -m pytest -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
# PyTorch's CPU wheels have an index of their own; give its address when PyPI's torch is not the one you want.
TORCH_INDEX ?=

.PHONY: help run page setup test crashloop test-servers test-databases test-web pictures test-full check format bench evals lock samples
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run: $(if $(FULL),.venv/.full,.venv/.lite) ## install what is missing and start (HOST=, PORT=, CONFIG=, FULL=1 for local models)
	@sh scripts/build_page.sh
	@$(BIN)/python startup.py $(if $(FULL),,--lite) $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT)) $(if $(CONFIG),--config $(CONFIG))

page: ## build the page under /h5/ (web/dist); run does it when node is there and something changed
	@sh scripts/build_page.sh --strict

setup: .venv/.dev ## install the lite set and the test tools

test: .venv/.dev ## the whole suite: SQLite, then what touches the database on PostgreSQL and MariaDB, and the page beside them (FULL=1: test-full, too)
	$(PYTEST)
	@if sh scripts/build_page.sh --can && command -v chromium >/dev/null; then \
	  echo "PostgreSQL, MariaDB and the page, side by side; each tells when it is done."; \
	  $(MAKE) --no-print-directory -j 2 --output-sync=target test-servers test-web PROCESSES=2; \
	else echo "The page is not tested: Node.js 20.19 with npm, or chromium, is not there."; \
	  $(MAKE) --no-print-directory test-servers; fi

# What servers do each in its own way is asked both, everything else one of the two.
test-servers: .venv/.dev
	$(PYTEST) -m database --database postgresql --half
	$(PYTEST) -m database --database mariadb --half
	$(if $(FULL),$(MAKE) --no-print-directory test-full)

test-databases: .venv/.dev ## all that touches the database, on PostgreSQL and on MariaDB
	$(PYTEST) -m database --database postgresql
	$(PYTEST) -m database --database mariadb

crashloop: .venv/.dev ## kill real processes 200 times (ROUNDS=, SEED=), and fail every step of every operation
	$(BIN)/python -m tests.crash --rounds $(or $(ROUNDS),200) $(if $(SEED),--seed $(SEED))
	$(PYTEST) -m crash

test-web: .venv/.dev page ## the page: lint, unit tests, size, and end to end in a browser against the real server (test does it too)
	cd web && npm run --silent lint && npm run --silent test && npm run --silent size
	cd web && PYTHON=$(abspath $(BIN))/python npm run --silent e2e

pictures: .venv/.dev page ## take the screenshots of docs/images/h5 again
	cd web && rm -rf e2e/failed/pictures && PYTHON=$(abspath $(BIN))/python SCREENSHOTS=$(abspath web/e2e/failed/pictures) npm run --silent e2e -- looks
	$(BIN)/python scripts/shrink_pictures.py web/e2e/failed/pictures docs/images/h5

test-full: .venv/.dev .venv/.full ## the tests that need torch, unstructured and the other large packages
	$(PYTEST) -m full

test-milvus: .venv/.dev ## knowledge bases in Milvus from end to end
	$(PYTEST) -m milvus

check: .venv/.dev ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.dev ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.dev ## measure against the budgets
	$(BIN)/python -m bench

evals: .venv/.dev ## retrieval (docs/quality.md) and quoting; DATA=FOLDER with cmrc2018_dev.json and drcd_dev.json
	@test -f "$(DATA)/cmrc2018_dev.json" || { echo "Say where CMRC 2018's dev set is: make evals DATA=FOLDER (with cmrc2018_dev.json)"; exit 1; }
	$(BIN)/python -m evals.retrieval --data $(DATA) --write
	$(BIN)/python -m evals.quote $(DATA)/cmrc2018_dev.json
	$(BIN)/python -m evals.handbook

lock: .venv/.dev ## export pyproject.toml to the requirement files
	$(BIN)/python scripts/lock.py

samples: .venv/.dev ## build the sample documents again
	$(BIN)/python scripts/make_samples.py

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.lite: requirements-lite.txt | .venv/bin/python
	$(BIN)/python -m pip install --no-deps --requirement requirements-lite.txt
	@touch $@

.venv/.dev: requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --no-deps --requirement requirements-dev.txt
	@touch $@ .venv/.lite

.venv/.full: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep ^torch== requirements.txt)"
	$(BIN)/python -m pip install --no-deps --requirement requirements.txt
	@$(BIN)/python -c 'import torch' || \
	  { echo "This torch needs CUDA. Install the CPU build: make run FULL=1 TORCH_INDEX=<PyTorch's CPU wheel index>"; exit 1; }
	@touch $@ .venv/.lite
