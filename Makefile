# make demo: install the core into .venv and find people in a picture, or in your camera's.
# make test: install everything the tests need into .venv and run formatting, lint, types and tests.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint clean help

help:
	@sed -n 's/^# //p' Makefile

demo: $(VENV)/installed-demo
	$(BIN)/heatstream demo

test: $(VENV)/installed-test lint
	$(BIN)/python -m pytest

lint: $(VENV)/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info demo-output

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The constraints are the versions that the tests are known to pass with; setup.py leaves the ranges open.
$(VENV)/installed-%: setup.py pyproject.toml constraints.txt heatstream/version.py | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	touch $@
