# Every target does its own set-up: a virtual environment in .venv, the locked dependencies and the package itself.
# It is redone when requirements.lock or pyproject.toml changes, and nothing needs the network after that.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# On all cores, file by file in the order that tests/conftest.py gives
PYTEST := pytest -n auto --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help book test quick lab audit bench fuzz kills format lock clean

help:
	@echo "make book     execute the notebooks and render the book into build/site/"
	@echo "              (ONLY=01 executes one notebook and what it builds on; PROFILE=smoke takes a minute)"
	@echo "make test     check style and run the tests (ARGS='-k doctor' is handed to pytest)"
	@echo "make quick    check style and run the tests of the core, studies and evidence, in less than a minute"
	@echo "make lab      open the notebooks in JupyterLab"
	@echo "make audit    look at every page of build/site in headless Chromium: contrast, widths, requests, pictures"
	@echo "make bench    run the benchmarks of bench/, each prints a table"
	@echo "make fuzz     damage files of every kind that is read and count what comes of it (CASES=200000; READER=pickles for one; it can be resumed)"
	@echo "make kills    kill every command that writes at random moments, give it again, and compare (KILLS=100)"
	@echo "make format   put code and notebooks into the one style"
	@echo "make lock     resolve pyproject.toml anew into requirements.lock and hashes.lock (WITH='torch==2.13.0' holds a version)"
	@echo "make clean    remove build/ and caches; .venv stays"
	@echo "PYTHON=...    the interpreter to make .venv with, Python 3.11 to 3.13"

book: $(STAMP)
	@$(BIN)/python -m tools.book $(if $(ONLY),--only $(ONLY)) $(if $(PROFILE),--profile $(PROFILE))

test: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m $(PYTEST) $(ARGS)

quick: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python -m $(PYTEST) -m "not slow" tests/core tests/study tests/evidence tests/utils $(ARGS)

lab: $(STAMP)
	@$(BIN)/jupyter lab notebooks

# Before it installs anything it says whether there is a browser and a book to look at; then it shows that it sees faults
audit: $(STAMP)
	@$(BIN)/python .ci/audit.py --ready
	@$(MAKE) --no-print-directory $(VENV)/.audit
	@EMO_SSL_BROWSER=1 $(BIN)/python -m pytest -q tests/tools/test_audit.py
	@$(BIN)/python .ci/audit.py $(if $(ONLY),--only $(ONLY))

$(VENV)/.audit: pyproject.toml
	@echo "Installing what the audit needs into $(VENV)"
	@$(PIP) install -c requirements.lock --no-build-isolation -e '.[audit]'
	@touch $@

bench: $(STAMP)
	@shopt -s nullglob; for script in bench/[!_]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

fuzz: $(STAMP)
	@PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m attack.fuzz $(if $(CASES),--cases $(CASES)) $(if $(READER),--reader "$(READER)")

kills: $(STAMP)
	@PYTHONPATH=tests:tests/tools OMP_NUM_THREADS=1 $(BIN)/python -m attack.kills $(if $(KILLS),--kills $(KILLS))

format: $(STAMP)
	@$(BIN)/python .ci/set_up_cells.py
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	@rm -rf build dist .pytest_cache .ruff_cache
	@find . -name .venv -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +

# A command of that name may exist and yet not run (a pyenv shim without its version), so each candidate has to prove
# itself. `ensurepip` is what Debian leaves out when python3-venv is not installed.
SUITABLE := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
define FIND_PYTHON
for candidate in "$(PYTHON)" python3.11 python3.12 python3.13 python3; do \
	if [ -n "$$candidate" ] && "$$candidate" -c "$(SUITABLE)" >/dev/null 2>&1; then python=$$candidate; break; fi; \
done; \
if [ -z "$${python:-}" ]; then \
	echo "No Python 3.11, 3.12 or 3.13 with its venv module was found: install one (on Debian and Ubuntu with" \
		"python3-venv), or name it: make PYTHON=/path/to/python3.12 ..." >&2; exit 2; \
fi; \
if [ -n "$(PYTHON)" ] && [ "$$python" != "$(PYTHON)" ]; then \
	echo "PYTHON=$(PYTHON) does not run or is not Python 3.11 to 3.13; taking $$python instead." >&2; \
fi
endef

$(STAMP): requirements.lock hashes.lock pyproject.toml
	@if ! $(BIN)/python -c "$(SUITABLE)" >/dev/null 2>&1; then \
		$(FIND_PYTHON); \
		echo "Making $(VENV) with $$python ($$("$$python" --version))"; \
		"$$python" -m venv --clear $(VENV); \
	fi
	@echo "Installing the locked dependencies into $(VENV); the first time takes some minutes"
	@$(PIP) install --require-hashes --no-deps -r hashes.lock
	@$(PIP) install -r requirements.lock  # torch, of whichever build, and what only this system needs
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(STAMP)

# Resolved in an environment of its own, so that nothing that happens to be in .venv gets into the lock
lock:
	@$(FIND_PYTHON); rm -rf build/lock; mkdir -p build; "$$python" -m venv build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check --quiet install ".[book,scaling,dev]" hatchling editables uv $(WITH)
	@build/lock/bin/python .ci/lock.py > requirements.lock.partial
	@grep '^[a-z]' requirements.lock.partial | grep -v '^torch==' | build/lock/bin/uv pip compile - --quiet --no-deps \
		--generate-hashes --no-header --no-annotate --python build/lock/bin/python -o hashes.lock.partial > /dev/null
	@mv requirements.lock.partial requirements.lock; mv hashes.lock.partial hashes.lock
	@rm -rf build/lock
	@echo "requirements.lock and hashes.lock are new; run 'make test' and commit it."
