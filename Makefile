# `make demo` and `make test` set everything up from python3 alone; what is done already is not done again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-slow kills soak fuzz lint setup clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed (set PYTHON=...)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $(READY)

demo: $(READY)
	$(BIN)/inceptory demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A file's tests run in one process, which makes what they share once.
test: lint
	$(BIN)/pytest -n auto --dist loadfile

test-slow: $(READY)
	$(BIN)/pytest -n auto --dist loadfile -m slow

# At most 45 minutes each on two cores; the records go to docs/results/reliability/. Quick ones:
# KILLS=20 FAULTS='fault and not slow' make kills, TRIALS=50 make soak, FUZZ_COUNT=2000 make fuzz
kills: $(READY)
	$(BIN)/python -m benchmarks.kills --minutes $${MINUTES:-30}
	$(BIN)/pytest tests -n 2 -m "$${FAULTS:-fault}" --faults=docs/results/reliability/faults.json

soak: $(READY)
	$(BIN)/python -m benchmarks.soak

fuzz: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --count $${FUZZ_COUNT:-100000} --minutes 35 --out docs/results/reliability/fuzz.json
	$(BIN)/python -m tests.fuzz.guided --count $$(($${FUZZ_COUNT:-100000} / 10)) --out docs/results/reliability/fuzz_guided.json

clean:
	rm -rf $(VENV) build dist *.egg-info
