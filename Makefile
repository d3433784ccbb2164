# make demo     a small programme, from nothing to mosaic and catalogue
# make install  what all modes need, compiled ahead
# make test     all tests that run always, WORKERS at a time; TESTS=tests/io for some
# make bench    side by side with the observatory's pipeline; CASE=name for one case
# make lint     ruff, snakefmt, snakemake --lint

PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin
CASE ?= all
# processes of pytest; files stay whole, so that what their tests share is made once
WORKERS ?= 2

# without bytecode every start of Python compiles everything again
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(BIN):$(PATH)

.PHONY: packages install test lint demo bench clean

packages: $(VENV)/packages
install: $(VENV)/installed
test-install: $(VENV)/test-installed

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/packages: $(VENV)/bin/python envs/requirements.txt pyproject.toml VERSION
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	$(BIN)/snakewebb profiles --repository .
	touch $@

$(VENV)/installed: $(VENV)/packages
	$(BIN)/snakewebb compile --repository .
	touch $@

$(VENV)/test-installed: $(VENV)/installed envs/test.txt envs/oracle.txt envs/clusters.txt
	$(BIN)/python -m pip install --quiet --requirement envs/test.txt --requirement envs/oracle.txt --requirement envs/clusters.txt
	touch $@

test: $(VENV)/test-installed
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(TESTS)

lint: $(VENV)/test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow config/profiles docs/paper_example
	$(BIN)/snakemake --snakefile config/profiles/nircam_imaging/Snakefile --directory tests/workflow/empty --lint

demo: $(VENV)/packages
	$(BIN)/python workflow/demo.py

bench: $(VENV)/test-installed
	$(BIN)/python -m benchmarks.run --case $(CASE)

clean:
	rm -rf $(VENV) demo benchmarks/work
