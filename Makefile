.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := crds common operator gateway runtime local models bench
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{sub(/:.*/, "", $$1); printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(VENV)/.ready ## A virtual environment with the locked dependencies (TORCH_INDEX=URL: torch from that index)

$(VENV)/.ready: requirements/installer.txt requirements/dev.txt requirements/torch.txt pyproject.toml scripts/setup.sh
	@PYTHON=$(PYTHON) scripts/setup.sh $(VENV)

.PHONY: binaries
binaries: setup ## The control plane's programs: found, cached, downloaded, or built with Go
	@python -m lorapool_local.binaries

.PHONY: demo
demo: setup ## One warm base model, several adapters, by kubectl apply (EXIT=1: end by itself)
	@lorapool demo $(if $(EXIT),--exit)

.PHONY: check
check: setup ## Format, lint, types, import contracts, generated files, the rules of the code
	ruff format --check .
	ruff check .
	mypy $(PACKAGES) scripts tests
	lint-imports
	python -m lorapool_api.crd.generate --check
	python -m scripts.chart_values --check
	pytest --collect-only -qq tests/gpu
	pytest -q tests/unit/helpers
	python -m lorapool_bench.page --check

.PHONY: format
format: setup ## Format the code and mend what ruff can mend
	ruff format .
	ruff check --fix .

.PHONY: test
test: setup ## Everything that runs on this machine, fast tests first
	@python -m lorapool_local.binaries || [ -z "$$CI" ]
	OMP_NUM_THREADS=1 pytest -n 2 --dist loadfile tests/unit tests/runtime tests/clients tests/abuse tests/cluster tests/e2e $(ARGS)

.PHONY: test-fast
test-fast: setup ## Only what needs no control plane
	pytest tests/unit tests/runtime $(ARGS)

.PHONY: test-versions
test-versions: setup ## The tests of the chart and of the CRDs on the oldest Kubernetes that the chart is for
	LORAPOOL_KUBERNETES=1.29 python -m lorapool_local.binaries
	LORAPOOL_KUBERNETES=1.29 pytest tests/cluster/test_chart_release.py tests/cluster/test_crds.py tests/cluster/operator/test_adapters.py $(ARGS)

.PHONY: fuzz
fuzz: setup ## A hundred thousand hostile adapter files (ARGS: --cases N --seed N)
	@python -m tests.fuzz $(ARGS)

.PHONY: abuse
abuse: setup ## Ten thousand hostile requests over real sockets to a gateway and a pod (ARGS: --requests N --seed N)
	@python -m tests.abuse $(ARGS)

# By a name: to `or` a comma is the end of a value, and the first seed was all of them.
CHAOS_SEEDS = 1,2,3,4,5

.PHONY: chaos
chaos: setup ## Random users and a longer absence of the API server (SEEDS=1,2,3 ACTIONS=200 AWAY=60)
	LORAPOOL_CHAOS_SEEDS=$(or $(SEEDS),$(CHAOS_SEEDS)) LORAPOOL_CHAOS_ACTIONS=$(or $(ACTIONS),200) \
	LORAPOOL_CHAOS_AWAY_S=$(or $(AWAY),60) pytest tests/cluster/operator/faults $(ARGS)

.PHONY: test-kind
test-kind: setup ## The e2e tests on a kind cluster with both images (needs a Docker engine and kind)
	scripts/test-kind.sh

.PHONY: test-node
test-node: setup ## The e2e tests on a real kubelet and containerd of this machine, with both images (ARGS of pytest; needs root)
	@python -m tests.node $(ARGS)

.PHONY: test-gpu
test-gpu: setup ## What needs a CUDA device (skipped without one), and its like on the CPU
	pytest tests/gpu $(ARGS)

.PHONY: crds
crds: setup ## Write the CRDs from the models
	python -m lorapool_api.crd.generate

.PHONY: chart-values
chart-values: setup ## Write the chart's table of values and its schema's descriptions from the comments of values.yaml
	python -m scripts.chart_values

.PHONY: lock
lock: setup ## Write the locked requirements anew (UPGRADE=1: newest versions)
	requirements/compile.sh

-include models/targets.mk
-include bench/targets.mk
