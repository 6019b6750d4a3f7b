# Both `make test` and `make demo` start from a bare clone: Python 3.11+ and make are all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := sim,fits,hdf5,zarr,parquet,pandas,onnx,search,fast,dask,parsl,test

.PHONY: demo test soak package browser lint docs clean

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

test: $(VENV)/ready
	$(BIN)/python -m pytest -q -n auto -m "not slow and not gpu"

# What the tests in a real browser need beside Chromium and node; without it they are skipped.
browser:
	npm install --no-audit --no-fund --silent --prefix tests/browser

soak: $(VENV)/ready
	$(BIN)/python -m pytest -q -n auto -m "slow"

# Builds sdist and wheel, and tries them in an environment that holds what they ask for and nothing else.
package: $(VENV)/ready
	$(BIN)/python -m pytest -q tests/packaging

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# The documentation site, into site/; a warning is an error. Its tools are of no use to the other targets.
$(VENV)/docs: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	touch $@

docs: $(VENV)/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

demo: $(VENV)/ready
	rm -rf demo
	$(BIN)/python examples/01_demo.py demo

clean:
	rm -rf demo dist build site .pytest_cache .ruff_cache
