## make demo: install the core into .venv and find people in a picture, or in your camera's.
## make test: install everything the tests need into .venv and run formatting, lint, types and tests.
## make test-lowest: the core's tests with the lowest versions that setup.py allows; a part of `make test`.
## make docs: the documentation site, into site/.
## make packages: wheels and the source distribution, into dist/, checked as a package index would, and tried.
## make lint: formatting, lint, arrows between rooms and types, without torch and TensorRT.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# On a Jetson JetPack's TensorRT and OpenCV are to be seen; CUDA 13 came with Jetson Linux 38. See docs/jetson.md.
TEGRA := $(shell sed -n 's/.*R\([0-9][0-9]*\).*/\1/p;q' /etc/nv_tegra_release 2>/dev/null)
JETSON := $(if $(TEGRA),$(if $(filter 38 39,$(TEGRA)),jetson-cu13,jetson))
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet

comma := ,

.PHONY: demo docs packages test test-lowest lint clean help headless-opencv

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
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal
	$(MAKE) --no-print-directory test-lowest

# Older versions of libraries warn of what newer versions of others do; only here that is no error. Outputs
# that extras bring are no part of the core.
LOWEST := $(VENV)-lowest
CORE_TESTS := tests/kernels/reference/test_pack.py tests/runtime/sources tests/runtime/test_sources.py \
	$(filter-out %/test_foxglove.py %/test_mcap.py %/test_send.py,$(wildcard tests/runtime/sinks/test_*.py)) tests/runtime/test_stream.py tests/runtime/pipelines/test_pose.py
test-lowest: $(LOWEST)/installed
	$(LOWEST)/bin/python -m pytest -q -W default -p no:cacheprovider $(CORE_TESTS)

$(LOWEST)/installed: setup.py constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip --disable-pip-version-check --quiet install --constraint constraints-lowest.txt \
		--editable . 'pytest>=8' 'hypothesis>=6.100' 'jsonschema>=4.18'
	@$(LOWEST)/bin/python -c 'import cv2' 2>/dev/null || $(LOWEST)/bin/python -m pip --quiet install --no-deps \
		--force-reinstall --constraint constraints-lowest.txt opencv-python-headless
	touch $@

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# The wheels are installed where nothing else is, and the core's must run without the others.
packages: $(VENV)/installed-packages
	rm -rf dist build
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m build --wheel --outdir dist packages/weights
	$(BIN)/python -m build --wheel --outdir dist packages/faces
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv --clear build/fresh
	build/fresh/bin/python -m pip --disable-pip-version-check --quiet install --find-links dist heatstream
	@build/fresh/bin/python -c 'import cv2' 2>/dev/null || build/fresh/bin/python -m pip --quiet install --no-deps \
		--force-reinstall opencv-python-headless
	cd build && fresh/bin/heatstream recipe --list && fresh/bin/heatstream demo --no-camera --output demo
	build/fresh/bin/python -m pip --disable-pip-version-check --quiet install --find-links dist 'heatstream[weights,faces]'
	build/fresh/bin/python -m pip check

# Without torch its classes are of unknown type; `make test` checks those strictly.
lint: $(VENV)/installed-lint
	$(STYLE)
	$(BIN)/mypy --allow-subclassing-any --no-warn-return-any --no-warn-unused-ignores

clean:
	rm -rf $(VENV) $(VENV)-lowest build dist site *.egg-info demo-output

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
