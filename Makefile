# The two commands that do everything: `make demo` and `make test`. Each sets up .venv first if it is not there.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS := train,lower,rtl,sim,explore,notebooks,test,dev

.PHONY: help setup demo test lint recipes csim bench bench-host gradients norms cycles rates synth-rtl resources-rtl gates formal board-pythons aarch64 notebooks clean

help:  ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | awk -F'|' '{printf "%-13s %s\n", $$1, $$2}'

setup: $(VENV)/.ready  ## install everything into .venv

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	# torch by itself first: a later install then keeps whichever build (CPU or GPU) this chose
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet torch==2.13.0 -e '.[$(EXTRAS)]'
	touch $@

demo: setup  ## train on real digits, lower, run on the simulated ZCU104, prove bit-exactness
	$(BIN)/python -m dsodenet.cli.demonstration --out build/demo --json build/demo/demo.json

test: setup  ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup  ## ruff, mypy, and Verilator's and slang's lint of the engine
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tools.rtl.lint

recipes: setup  ## what each training recipe buys: a table and a figure (make recipes FULL=--full for longer runs)
	$(BIN)/python -m dsodenet.bench.studies.recipe_study $(FULL) --json build/recipes/recipes.json --plot build/recipes/recipes.png

csim: setup  ## the bit-exact ladder over a grid of specs, solvers and step counts
	$(BIN)/python -m dsodenet.bench.studies.ladder_grid

bench: setup  ## speed of the integer reference against plain sgemm
	$(BIN)/python -m dsodenet.bench.studies.reference_speed --spec l --json build/bench.json

bench-host: setup  ## the host library's share of a call, its faults, and both block designs, on the simulated board
	$(BIN)/python -m dsodenet.bench.studies.host_study --json build/bench-host.json
	$(BIN)/python -m tests.vivado.block_designs

gradients: setup  ## error, memory and time of the four gradients of an ODE block
	$(BIN)/python -m dsodenet.bench.studies.gradient_study --json build/gradients.json --plot build/gradients.png

norms: setup  ## normalisation inside the ODE block: each norm trained and tested under other steps (minutes)
	$(BIN)/python -m dsodenet.bench.studies.norm_study

cycles: setup  ## simulate s, m, l on the full engines, cycle by cycle (minutes)
	$(BIN)/python -m tools.rtl.measure s m l --lanes 1x32x64 3x16x64 --json build/cycles.json

synth-rtl: setup  ## resources of the small and the full engines by Yosys, kept in docs/results/resources.json (20 minutes)
	$(BIN)/python -m tools.rtl.synth --lanes 1x4x8 1x32x64 3x16x64 --json docs/results/resources.json

board-pythons: setup  ## the self-test under the Pythons and pynqs of the PYNQ images, where those Pythons are installed
	$(BIN)/python -m tools.pythons boards build/pythons

aarch64: setup  ## fetch a Python for the board's processor (Debian, no root needed) and compare its integers under qemu-user
	$(BIN)/python -m tools.pythons aarch64 build/aarch64
	$(BIN)/python -m pytest -n 0 tests/tools/test_wheel.py -k aarch64

resources-rtl: setup  ## write anew the resources of the units that the tests watch (a minute)
	$(BIN)/python -m tools.rtl.unit_resources --write

gates: setup  ## a small engine as gates, bit-exact (minutes)
	$(BIN)/python -m tools.rtl.gate_sim

formal: setup  ## proofs of the stream stages and of the registers (minutes)
	$(BIN)/python -m tools.rtl.prove

rates: setup  ## cycles per second of the C++ harness and of cocotb
	$(BIN)/python -m tools.rtl.rates

notebooks: setup  ## run the four notebooks and take their times (make notebooks KEEP=--keep also keeps their outputs)
	$(BIN)/python -m tools.notebooks $(KEEP) --json build/notebooks.json

clean:  ## remove what was built, but not .venv
	rm -rf build dist
