## make demo: install the core into .venv and find people in a picture, or in your camera's.
## make test: install everything the tests need into .venv and run formatting, lint, types and tests.
## make lint: formatting, lint, arrows between rooms and types, without torch and TensorRT.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# On a Jetson JetPack's TensorRT and OpenCV are to be seen; CUDA 13 came with Jetson Linux 38. See docs/jetson.md.
TEGRA := $(shell sed -n 's/.*R\([0-9][0-9]*\).*/\1/p;q' /etc/nv_tegra_release 2>/dev/null)
JETSON := $(if $(TEGRA),$(if $(filter 38 39,$(TEGRA)),jetson-cu13,jetson))
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet

comma := ,

.PHONY: demo test lint clean help headless-opencv

help:
	@sed -n 's/^## //p' Makefile

demo: $(VENV)/installed-demo
	$(BIN)/heatstream demo

define STYLE
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
endef

test: $(VENV)/installed-test
	$(STYLE)
	$(BIN)/mypy
	$(BIN)/python -m pytest

# Without torch its classes are of unknown type; `make test` checks those strictly.
lint: $(VENV)/installed-lint
	$(STYLE)
	$(BIN)/mypy --allow-subclassing-any --no-warn-return-any --no-warn-unused-ignores

clean:
	rm -rf $(VENV) build *.egg-info demo-output

$(BIN)/python:
	$(PYTHON) -m venv $(if $(JETSON),--system-site-packages) $(VENV)

# The constraints are the versions that the tests are known to pass with; setup.py leaves the ranges open.
$(VENV)/installed-%: setup.py pyproject.toml constraints.txt heatstream/version.py | $(BIN)/python
	$(PIP) install $(if $(JETSON),'numpy<2',--constraint constraints.txt) --editable '.[$*$(if $(JETSON),$(comma)$(JETSON))]'
	$(if $(JETSON),$(PIP) uninstall --yes opencv-python)
	@$(BIN)/python -c 'import cv2' 2>/dev/null || $(MAKE) --no-print-directory headless-opencv
	touch $@

# OpenCV's usual build needs the X libraries even where there is no screen; its headless build does all but windows.
# Both own the same folder, so that removing one takes it from the other: hence the forced installation.
headless-opencv:
	$(PIP) uninstall --yes opencv-python
	$(PIP) install --constraint constraints.txt --force-reinstall --no-deps opencv-python-headless
