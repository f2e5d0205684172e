# Everything a newcomer needs: `make demo` and `make test` work on a machine with Python 3.11+, pip and make.
PYTHON ?= python3
# What .venv is set up around; another one that is typed is a set-up of its own. WHEELS, TORCH_INDEX: docs/INSTALL.md.
TORCH ?= $(or $(shell cat .venv/torch 2> /dev/null),pinned)
export PYTHON TORCH TORCH_INDEX WHEELS
BIN := .venv/bin
export WANDB_MODE ?= offline
export NO_ALBUMENTATIONS_UPDATE = 1

.PHONY: help setup wheelhouse demo lint test test-all test-cluster chaos soak fuzz golden gpu-check audit reference clean

help:            ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 12

setup: .venv/complete   ## the .venv alone, from the pinned set; TORCH=system, TORCH=cu126 …, WHEELS=DIR: docs/INSTALL.md

ifneq ($(TORCH),$(or $(shell cat .venv/complete 2> /dev/null),pinned))
.PHONY: .venv/complete
endif
.venv/complete: requirements.txt
	@sh setup.sh setup

wheelhouse:      ## what `make setup WHEELS=DIR` needs without a network, into DIR (wheels/)
	@sh setup.sh wheelhouse

demo: setup      ## train on the embedded data and say where the figures are
	$(BIN)/python train.py

lint: setup      ## formatting, lint rules and strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Two processes share the tests. Each computes with one thread, otherwise they would wait for one another's cores; what is
# idle takes tests from the other one, so that both end at the same time.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

test: setup      ## the quick suite
	$(PYTEST) -m "not slow and not cluster"

test-all: setup  ## everything but what needs a cluster
	$(PYTEST) -m "not cluster"

# SLURM's daemons and network namespaces are real, and started by the tests themselves; Debian's packages are installed where that is allowed.
CLUSTER_PACKAGES := slurm-wlm munge iproute2
test-cluster: setup  ## two nodes of SLURM, two machines under torchrun, an installation without network; needs root
	@(PATH=$$PATH:/usr/sbin:/sbin; command -v slurmctld && command -v munged && command -v ip) > /dev/null || (apt-get update && apt-get install --yes --no-install-recommends $(CLUSTER_PACKAGES)) > /dev/null || echo "$(CLUSTER_PACKAGES) could not be installed"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster -o faulthandler_timeout=1200 --durations=20

chaos: setup     ## kill training runs at random moments and compare what comes out, bit by bit
	$(BIN)/python -m tests.chaos

soak: setup      ## train for 2,000 short epochs, and measure whether memory, handles or files grow
	$(BIN)/python -m tests.soak

fuzz: setup      ## change valid files in ways that are new each time; the suites have the same cases always
	FUZZ=new $(PYTEST) tests/fuzz

golden: setup    ## run the commit BASE and the working tree, and compare figures and weights bit by bit
	$(BIN)/python -m tests.golden $(BASE)

gpu-check: setup ## about ten minutes on one GPU: exactness, resuming, speed, memory; writes benchmarks/gpu/<card>.md
	$(BIN)/python benchmarks/gpu_check.py

audit:           ## known vulnerabilities of the pinned set, from the databases that pip-audit asks; needs a network
	@$(PYTHON) -m venv build/audit && build/audit/bin/python -m pip install --quiet pip-audit
	build/audit/bin/pip-audit --requirement requirements.txt --no-deps --disable-pip --strict

reference: setup ## docs/SETTINGS.md and the schemas of conf/, from settings/
	$(BIN)/python -m tests.docs.reference

clean:           ## remove what tools leave behind; runs/ and data/ stay
	rm -rf .mypy_cache .pytest_cache .ruff_cache build *.egg-info
