# make examine [IMAGE=my.jpg]   examine a picture (a bundled forgery by default) and write a report
# make test                     everything CI runs: style, types, tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
IMAGE ?= examples/splice.jpg
OUT ?= out

.PHONY: install examine test lint clean

install: $(VENV)/.installed
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

examine: $(VENV)/.installed
	$(BIN)/fakeexplain examine "$(IMAGE)" --out "$(OUT)"

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(OUT)
