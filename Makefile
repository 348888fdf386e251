# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

PAGE := src/braincase/web/static/index.html

.PHONY: demo test page lint bench clean

demo: $(READY) page
	$(BIN)/braincase demo demo

test: $(READY) page
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto

lint: $(READY)
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/mypy

bench: $(READY)
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

# pip and not uv: the CPU build of torch is found by pip alone (DEVELOPERS.md).
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,lint]'
	touch $(READY)

# The reading-room page. Without npm the service draws its pictures itself and says so.
page:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(PAGE) || echo "the page was not built; going on without it"; \
	else echo "npm is missing: the reading room will show slices drawn by the service"; fi

$(PAGE): $(shell find src/braincase/web/frontend -type f -not -path '*/node_modules/*' 2>/dev/null)
	cd src/braincase/web/frontend && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build

clean:
	rm -rf $(VENV) demo src/braincase/web/static src/braincase/web/frontend/node_modules
