# RATS: `make demo` shows everything, `make test` checks it.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help install demo serve test test-all gpu parity lint constraints readmes clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

install: $(STAMP) ## Make the virtual environment and install everything into it

demo: $(STAMP) ## The main job: teacher, trajectories, RATS training, scores, signed package, live endpoint, report
	$(BIN)/rats run --open

serve: $(STAMP) ## Serve the champion until Ctrl-C
	$(BIN)/rats serve

lint: $(STAMP) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(STAMP) lint ## Everything that CI checks, with coverage
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow and not gpu" --cov --cov-report=term

test-all: $(STAMP) lint ## The slow checks as well
	$(BIN)/python -m pytest -m "not gpu" --cov --cov-report=term

gpu: $(STAMP) ## On a machine with a GPU: its tests, and the benchmarks of the loss and of full-size steps
	$(BIN)/python -m pytest -m gpu tests/gpu
	$(BIN)/python -m benchmarks.horizon_loss
	$(BIN)/python -m benchmarks.step_time

.venv-parity/%/.installed: infra/docker/%/requirements.txt
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

parity: $(STAMP) .venv-parity/hpsv2/.installed .venv-parity/image_reward/.installed ## The original HPSv2 and ImageReward, each in an environment of its own, against ours
	$(BIN)/python -m pytest -s tests/parity

constraints: $(STAMP) ## Pin every version that the extras resolve to
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --python-version 3.11 --all-extras pyproject.toml --constraint constraints.txt --output-file constraints.txt
	sed -i "s/+cpu//" constraints.txt

readmes: $(STAMP) ## Write the README of every component from its code
	$(BIN)/python -m components.readme

clean: ## Remove the virtual environment and all runs
	rm -rf $(VENV) .venv-parity runs
