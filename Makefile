# What a user and a contributor do; CI calls `make test`.
SHELL  := /bin/bash
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
RUN    ?= runs/demo

# One thread for each process: two threads on two busy cores cost far more than they give, and one is reproducible.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

.DEFAULT_GOAL := help
.PHONY: help install demo test lint type format docs bench notebooks

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | expand -t 12

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sciRL needs Python 3.11 or newer; $(PYTHON) is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -r requirements.lock
	$(BIN)/pip install --no-deps -e .
	@touch $@

install: $(VENV)/.installed  ## make .venv with the pinned packages and sciRL

demo: $(VENV)/.installed  ## train the crystal demo (resumes when interrupted) and say where its report is
	@if [ -f $(RUN)/report.html ]; then echo "$(RUN) is finished; remove the folder to train again"; \
	elif [ -f $(RUN)/manifest.json ]; then $(BIN)/scirl train crystal --resume $(RUN); \
	else $(BIN)/scirl train crystal --recipe tiny --out $(RUN); fi
	@echo "open in a browser: $(RUN)/report.html"

test: $(VENV)/.installed  ## run all tests
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(VENV)/.installed  ## check types
	$(BIN)/mypy

format: $(VENV)/.installed  ## rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed  ## write docs/configuration.md again from the settings classes
	$(BIN)/python docs/make_configuration.py

bench: $(VENV)/.installed  ## install the peers (TRL, PyXtal) and print the benchmark tables
	$(BIN)/pip install -r requirements-bench.lock
	@for name in sampler grpo_step crystal_verification seeding nanorobot_steps gflownet_step consultation_rate; do \
	  echo "== $$name"; $(ONE_THREAD) $(BIN)/python benchmarks/$$name.py || exit 1; done
	@if [ -n "$(CAD_DATA)" ]; then echo "== cad_throughput"; \
	  $(ONE_THREAD) $(BIN)/python benchmarks/cad_throughput.py --data $(CAD_DATA); \
	  else echo "cad_throughput skipped: name the folder of real programs, make bench CAD_DATA=FOLDER"; fi

notebooks: $(VENV)/.installed  ## run the notebooks again, in place
	$(ONE_THREAD) PATH="$(abspath $(BIN)):$$PATH" $(BIN)/jupyter nbconvert --to notebook --execute --inplace notebooks/*.ipynb
