# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

FRONTEND := src/braincase/web/frontend
MODULES := $(FRONTEND)/node_modules/.package-lock.json
PAGE := src/braincase/web/static/index.html

.PHONY: demo test page api-types docs lint clean

demo: $(READY) page
	$(BIN)/braincase demo demo

test: $(READY) page
	$(BIN)/ruff check src tests benchmarks docs/*.py
	$(BIN)/ruff format --check src tests benchmarks docs/*.py
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --dist loadfile

lint: $(READY)
	$(BIN)/ruff check --fix src tests benchmarks docs/*.py
	$(BIN)/ruff format src tests benchmarks docs/*.py
	$(BIN)/mypy

# The documentation site, into site/; the tests build it too. Pictures and tables of the architecture are
# written anew from the code.
docs: $(READY)
	$(BIN)/python docs/architecture.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open site/index.html"

# pip and not uv: the CPU build of torch is found by pip alone (CONTRIBUTING.md).
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test,lint,docs]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[distributed-test]' \
		|| echo "no Milvus server for this machine: its tests will be skipped"
	touch $(READY)

# The reading-room page. Without npm, or without its packages, the service draws pictures itself.
page:
	@if ! command -v npm >/dev/null; then echo "npm is missing: the reading room will be plain pages"; \
	elif ! $(MAKE) -s $(MODULES); then echo "npm found no packages: plain pages"; \
	else $(MAKE) -s $(PAGE); fi

# After a change of the REST service: its OpenAPI schema, and the page's types made of it.
api-types: $(READY) $(MODULES)
	$(BIN)/python -m braincase.web.openapi
	cd $(FRONTEND) && npm run --silent types

$(MODULES): $(FRONTEND)/package.json $(FRONTEND)/api-types/package.json $(FRONTEND)/package-lock.json
	cd $(FRONTEND) && npm ci --no-audit --no-fund --loglevel=error
	touch $@

$(PAGE): src/braincase/purpose.json $(shell find $(FRONTEND) -type f -not -path '*/node_modules/*' 2>/dev/null)
	cd $(FRONTEND) && npm run --silent build -- --logLevel warn

clean:
	rm -rf $(VENV) demo site src/braincase/web/static $(FRONTEND)/node_modules \
		$(FRONTEND)/api-types/node_modules
