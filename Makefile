# make examine [IMAGE=my.jpg]   examine a picture (a bundled forgery by default) and write a report
# make app                      the page in your browser: drop a picture, look, ask
# make train-smoke              every training stage of the assistant, small, in minutes on a CPU
# make test-browser             the app in a real chromium (Debian's, or FAKEEXPLAIN_CHROMIUM)
# make test                     everything CI runs: style, types, tests
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
IMAGE ?= examples/splice.jpg
OUT ?= out

.PHONY: install examine app train-smoke test test-browser lint clean

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

$(VENV)/.installed-app: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[app]'
	touch $@

app: $(VENV)/.installed-app
	$(BIN)/fakeexplain app

train-smoke: $(VENV)/.installed-dev
	$(BIN)/python -m training.smoke --out "$(OUT)/train-smoke"

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -n auto

test-browser: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -o addopts=-ra tests/browser

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) $(OUT)
