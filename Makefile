.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(VENV)/.ready ## A virtual environment with the locked dependencies (TORCH_INDEX=URL: torch from that index)

$(VENV)/.ready: requirements/dev.txt requirements/torch.txt pyproject.toml scripts/setup.sh
	@PYTHON=$(PYTHON) scripts/setup.sh $(VENV)

.PHONY: lock
lock: setup ## Write the locked requirements anew (UPGRADE=1: newest versions)
	requirements/compile.sh
