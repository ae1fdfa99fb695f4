# make demo    one complete run on the bundled backbone and the bundled sample
# make test    the test suite
# make check   formatting, linting, types, import layers
# PYTHON names the interpreter the environment is made from, VENV where it lies.

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test check format dist clean

help:
	@sed -n '1,4s/^# //p' Makefile

define require_python
found="$$("$(PYTHON)" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)" || { \
  echo "There is no '$(PYTHON)' that runs. adapterkit needs Python 3.10 or newer: install it, or" >&2; \
  echo "name the one you have, for example: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
  exit 1; }; \
"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
  echo "adapterkit needs Python 3.10 or newer, and '$(PYTHON)' is Python $$found." >&2; \
  echo "Name a newer one, for example: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
  exit 1; }; \
"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
  echo "'$(PYTHON)' cannot make virtual environments: it lacks its venv or ensurepip module." >&2; \
  echo "On Debian and Ubuntu: apt install python3-venv" >&2; \
  exit 1; }
endef

# One stamp for each set of packages: a second call installs nothing.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(require_python)
	$(PYTHON) -m venv $(VENV)
	@echo "Installing adapterkit and its libraries: a few minutes, once."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing the development tools."
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

install: $(VENV)/.installed

install-dev: $(VENV)/.installed-dev

demo: $(VENV)/.installed
	$(BIN)/adapterkit tune --task bc5cdr --mode adapter --data sample

# One thread in each of two processes: torch's own threads gain little on models this small.
test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: $(VENV)/.installed-dev
	$(BIN)/python -m build --no-isolation

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
