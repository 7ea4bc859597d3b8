# The two commands a user needs:
#
#   make demo    install into .venv, run the main job on the shipped hemibrain data, show a first glance at the results
#   make test    every check and every test
#
# For developers:
#
#   make check   lint, format, types, layering, generated files (part of `make test`)
#   make docs    write docs/config.schema.json and docs/settings.md anew from the settings models
#   make bench   time and memory on large synthetic data (long; see benchmarks/README.md)
#   make clean   remove everything that the targets above made
#
# Another interpreter:  make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
EXAMPLE := examples/hemibrain-mb

.PHONY: demo test check docs bench clean debian-venv java browser
.DELETE_ON_ERROR:

demo: $(VENV)/installed browser
	$(BIN)/flyem-snapshot -c $(EXAMPLE)/config.yaml
	@$(BIN)/python examples/glance.py "$$($(BIN)/flyem-snapshot -d -c $(EXAMPLE)/config.yaml)"

test: check java browser
	$(BIN)/python -m pytest -q -n 2

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

docs: $(VENV)/installed-dev
	$(BIN)/python docs/generate.py

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf $(VENV) build dist *.egg-info $(EXAMPLE)/output benchmarks/output
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An empty file says what is installed; it is older than pyproject.toml when the dependencies may have changed.
$(VENV)/installed: pyproject.toml setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml setup.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(VENV)/installed $@

$(BIN)/python:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV) || $(MAKE) --no-print-directory debian-venv

# The tests import into real Neo4j servers, which Maven assembles from published jars: that takes Java 17 or later.
java:
	@command -v mvn >/dev/null && command -v java >/dev/null || { \
	    command -v apt-get >/dev/null || { echo "install Maven and a JDK (17 or later) for the tests"; exit 1; }; \
	    $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq maven default-jdk-headless; }

# Plots become pictures in a headless browser.  Without one there are only interactive pages, which do for the demo.
browser:
	@for name in "$$BROWSER_PATH" chromium chromium-browser google-chrome google-chrome-stable; do \
	    [ -n "$$name" ] && command -v "$$name" >/dev/null && exit 0; done; \
	if command -v apt-get >/dev/null; then \
	    $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core; \
	else echo "no Chromium or Chrome found: plots are written without PNG, and make test needs one"; fi

# Debian keeps what `python3 -m venv` needs in a package of its own.
debian-venv:
	@command -v apt-get >/dev/null || { echo "$(PYTHON) cannot make a virtual environment: install its venv module"; exit 1; }
	$(SUDO) apt-get update -qq
	$(SUDO) apt-get install -y -qq python3-venv
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
