# Two commands are enough: `make demo` on a fresh machine, `make test` before a change goes in.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt

.PHONY: demo test lint types layers docs bench unit slow clean

demo: $(VENV)/.core           ## install the core and what its chapters use, then go the whole way on the bundled text: open demo/report.html
	$(BIN)/sensorium tour --out demo --force

test: lint types layers docs unit   ## everything that a change must pass

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

layers: $(VENV)/.dev
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/mkdocs build --strict --quiet

unit: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

slow: $(VENV)/.dev            ## tests that take minutes or fetch a package
	$(BIN)/pytest -m slow

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.run

# torch is installed first and alone, at the version that everything is tested with. On Linux, PyPI's brings gigabytes
# of CUDA libraries; PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu offers the build without them.
$(VENV)/.torch: constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -r constraints.txt
	touch $@

BUILT_FROM := pyproject.toml hatch_build.py csrc/skinny.c

$(VENV)/.core: $(VENV)/.torch $(BUILT_FROM)
	$(PIP) install --quiet -e '.[qa,audio,fusion]'
	touch $@

$(VENV)/.dev: $(VENV)/.torch $(BUILT_FROM)
	$(PIP) install --quiet -e '.[dev]'
	touch $@ $(VENV)/.core

clean:
	rm -rf $(VENV) build dist site demo
