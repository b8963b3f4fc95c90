# Each target makes the virtual environment that it needs, so that `make demo` and `make test` work
# in a fresh clone. CONSTRAINTS names the file of versions that are installed.

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
PEERS ?= .peers
BIN := $(VENV)/bin
# Compiling every file of every package takes longer than compiling those that are imported, which
# Python keeps if nothing forbids it. Tests start Python so often that it has to.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := $(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c $(CONSTRAINTS)
# Tests compute little at once, so that several processes of one thread are faster than one of many.
# Each takes up to 1.3 GB.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

.PHONY: demo test fast lint bench clean

demo: $(VENV)/.installed
	$(BIN)/python benchmarks/demo.py --out demo

test: $(VENV)/.installed-dev
	$(PYTEST)

fast: $(VENV)/.installed-dev
	$(PYTEST) -m 'not slow'

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check --exclude '*.md'
	$(BIN)/mypy

# The peers have an environment of their own, and those that cannot be installed are left out.
bench: $(PEERS)/.installed
	$(PEERS)/bin/python -m benchmarks.bench --out bench.json

clean:
	rm -rf $(VENV) $(PEERS) demo bench.json

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) -e '.[dev,studio]'
	touch $@

$(PEERS)/.installed: pyproject.toml $(CONSTRAINTS) benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(INSTALL:$(BIN)%=$(PEERS)/bin%) -e '.[dev]'
	grep -v '^#' benchmarks/peers.txt | while read -r peer; do \
		$(INSTALL:$(BIN)%=$(PEERS)/bin%) "$$peer" || echo "$$peer is missing"; \
	done
	touch $@
