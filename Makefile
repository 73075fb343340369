# `make demo` and `make test` do everything; each sets up .venv first if it is not there. What is one command has no
# target: `dsodenet --help` and `python -m tools...` say what there is.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS := train,lower,rtl,sim,explore,adapt,bench,notebooks,test,dev,docs,shell

.PHONY: help setup demo lab test lint docs results wheel paths rtl-checks audit fuzz mutants board-pythons aarch64 clean

help:  ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | awk -F'|' '{printf "%-13s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## install everything into .venv

$(VENV)/.ready: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 13) or sys.exit("make setup needs Python 3.11 or 3.12; PYTHON=... names one")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	# all that the tests ran with, each file by its hash
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	# torch in the build (CPU or GPU) that this machine offers, so by its version alone
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/pip check
	touch $@

demo: setup  ## train on real digits, lower, run on the simulated ZCU104, prove bit-exactness
	$(BIN)/dsodenet demo --out build/demo --json build/demo/demo.json

lab: setup  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab $(LAB) notebooks

test: setup  ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup  ## ruff, mypy, and Verilator's and slang's lint of the engine
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tools.rtl.lint

docs: setup  ## build the documents into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

results: setup  ## measure what the documents quote and write it to docs/results (hours; NAMES="host cycles" for some)
	$(BIN)/python -m tools.results $(NAMES)

wheel: setup  ## build the wheel into dist
	$(BIN)/python -m build --wheel --outdir dist

paths: setup  ## estimate the longest paths of the engine, module by module (ten minutes)
	$(BIN)/python -m tools.rtl.paths

rtl-checks: setup  ## the long checks of the engine: proofs, a small engine as gates, resources (half an hour)
	$(BIN)/python -m tools.rtl.prove
	$(BIN)/python -m tools.rtl.flips --journal build/flips.json
	$(BIN)/python -m tools.rtl.gate_sim
	$(BIN)/python -m tools.results resources

audit: setup  ## known vulnerabilities of what `make setup` installs (asks the network)
	$(BIN)/pip-audit --strict --no-deps --disable-pip -r requirements.lock

fuzz: setup  ## damaged files for every reader of files from outside (MINUTES=N, all together)
	$(BIN)/python -m tools.fuzz --minutes $(or $(MINUTES),5)

mutants: setup  ## put faults into a copy of the sources, one by one: do the tests see them? (an hour; SAMPLE=N of each module)
	$(BIN)/python -m tools.mutants --sample $(or $(SAMPLE),25)
	$(BIN)/python -m tools.mutants --planted

board-pythons: setup  ## the self-test under the Pythons and pynqs of the PYNQ images, where those Pythons are installed
	$(BIN)/python -m tools.pythons boards build/pythons

aarch64: setup  ## fetch a Python for the board's processor (Debian, no root needed) and compare its integers under qemu-user
	$(BIN)/python -m tools.pythons aarch64 build/aarch64
	$(BIN)/python -m pytest -n 0 tests/tools/test_wheel.py tests/runtime/test_native_call.py -k aarch64 -rs

clean:  ## remove what was built, but not .venv
	rm -rf build dist
