PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN = .venv/bin

.PHONY: run up test bench replay evaluate lint format lock environment

run: environment  ## one crawl-to-dataset run over the demo sites
	@$(BIN)/newslake run --demo

up: environment  ## object store and Airflow on this machine, until Ctrl-C
	@exec $(BIN)/newslake up

test: environment  ## every test
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

bench: environment  ## benchmarks, as ratios of two sides in one run
	@$(BIN)/python tests/bench/bench.py

lint: environment  ## style, types, direction of imports
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports

format: environment
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

replay: environment  ## the whole pipeline over real pages (needs the development data)
	@$(BIN)/python tests/evaluation/replay.py

evaluate: environment  ## extraction quality on real pages (needs the development data)
	@$(BIN)/python tests/evaluation/evaluate.py

lock: environment  ## resolve every pin anew
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --extra dev setup.cfg -o requirements.lock

environment:
	@test -n "$(PYTHON)" || { echo "newslake needs Python 3.11 to 3.13 on the PATH; install one of them"; exit 2; }
	@$(PYTHON) .ci/environment.py
