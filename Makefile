# Two commands on a fresh machine: `make demo` and `make test`; both do all the set-up.
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3.10 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
JARS := .cache/jars

.PHONY: demo test test-all lint types setup java browser clean

demo: setup
	$(BIN)/cleanplate demo

test: setup browser lint types
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu and not weights"

test-all: setup browser lint types
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

setup: java $(VENV)/.installed $(JARS)/.resolved

# Java: found, or installed where apt is usable, or named.
java:
	@sh tools/ensure_java.sh

# Chromium, for the tests of the review page; they are skipped where there is none.
browser:
	@sh tools/ensure_chromium.sh

$(VENV)/.installed: setup.py
	@test -n "$(PYTHON)" || { echo "Cleanplate needs Python 3.10 to 3.13 with venv. Install one (Debian: apt-get install python3 python3-venv) or name it: make setup PYTHON=/path/to/python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	sh tools/again.sh $(BIN)/python -m pip install --quiet --upgrade pip
	sh tools/again.sh $(BIN)/python -m pip install --quiet -e ".[spark,dev]"
	@touch $@

$(JARS)/.resolved:
	sh tools/again.sh $(BIN)/python -m cleanplate.spark.session
	@touch $@

clean:
	rm -rf $(VENV) .cache build dist demo-warehouse .mypy_cache .ruff_cache .pytest_cache
