# Penstock's commands. `make` alone lists them; each works on a fresh machine with only python3
# (3.11 or newer, with venv), make and git.
#
#   PYTHON=python3.12 make install   another interpreter for the virtual environment
#   make test ARGS="-k lease -x"     arguments for pytest
#   V=1 make ...                     shows each command

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXAMPLES := $(VENV)/.installed-examples
ARGS ?=
V ?=
Q := $(if $(V),,@)

REDIS7 ?= $(shell command -v redis-server 2>/dev/null)

# One process a core, as far as tests with timing in them bear it.
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest

# Generators are found by name (buf.gen.yaml), and tests start `penstock` as users do.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

# In bold, where somebody looks on.
say = @if test -t 1; then printf '\033[1m%s\033[0m\n' '$(1)'; else echo '$(1)'; fi

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN { FS = ":.*## "; print "usage: make TARGET\n" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z][a-z0-9-]*:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ Start

.PHONY: demo
demo: $(STAMP) ## Run the demonstration: real jobs on real files, in about a minute.
	$(Q)$(BIN)/python -m examples.demo $(ARGS)

.PHONY: dev
dev: $(STAMP) ## Run Valkey, a gateway and a worker in this terminal.
	$(Q)$(BIN)/penstock dev $(ARGS)

.PHONY: install
install: $(STAMP) ## Create .venv with everything pinned, and Penstock itself editable.

$(STAMP): requirements/dev.txt pyproject.toml
	$(call say,Installing into $(VENV) (once, and again when a pin changes))
	$(Q)$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
	  f"Penstock needs Python 3.11 or newer, and $(PYTHON) is {sys.version.split()[0]}: try PYTHON=python3.11 make")'
	$(Q)test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { echo 'No virtual environment: apt install python3-venv' >&2; rm -rf $(VENV); exit 1; }
	$(Q)$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	$(Q)$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: examples
examples: $(EXAMPLES) ## Run the five applications under examples/ end to end (ARGS=opad runs one).
	$(Q)$(BIN)/python -m examples $(ARGS)

$(EXAMPLES): requirements/examples.txt $(STAMP)
	$(call say,Installing what the examples need)
	$(Q)$(BIN)/python -m pip install --quiet --require-hashes -r requirements/examples.txt
	@touch $@

##@ Check

.PHONY: check
check: lint test ## Run lint, then test.

.PHONY: lint
lint: $(EXAMPLES) ## Check style, types, imports, the contract, and that generated code is current.
	$(call say,ruff)
	$(Q)ruff check --quiet .
	$(Q)ruff format --quiet --check . || { ruff format --diff --quiet .; exit 1; }
	$(call say,mypy)
	$(Q)mypy --no-error-summary $(sort $(foreach root,$(TYPED),$(wildcard $(root))))
	$(call say,import-linter)
	$(Q)report=$$(lint-imports --no-cache 2>&1) || { echo "$$report" >&2; exit 1; }
	$(call say,hadolint)
	$(Q)hadolint Dockerfile
	$(call say,typescript)
	$(Q)tools/with_node.sh 'the TypeScript client was not linted.' \
	  npm run --silent --prefix clients/typescript lint
	$(call say,buf)
	$(Q)buf lint
	$(Q)buf format --diff --exit-code
	$(Q)tools/check_breaking.sh
	$(Q)$(MAKE) --no-print-directory proto-check

TYPED := broker/penstock cli/penstock clients/python/penstock runtime/penstock server/penstock \
  worker/penstock bench examples tests tools

.PHONY: format
format: $(STAMP) ## Rewrite Python, TypeScript and proto files in the house style.
	$(Q)ruff check --quiet --fix-only .
	$(Q)ruff format --quiet .
	$(Q)buf format --write
	$(Q)tools/with_node.sh 'the TypeScript client was not formatted.' \
	  npm run --silent --prefix clients/typescript format

.PHONY: test
test: $(EXAMPLES) ## Run all tests but the slow ones, on Valkey and asyncio.
	$(Q)$(PYTEST) -m 'not slow' -n $(JOBS) $(ARGS)
ifeq ($(REDIS7),)
	@echo 'redis-server not found: apt install redis-server adds the Redis 7.0 tier (make test-redis7).'
else
	@echo 'redis-server found: `make test-redis7` runs the broker, gateway, worker and fault tests on it.'
endif
	@command -v openssl >/dev/null \
	  || echo 'openssl not found: the tests of TLS were skipped; apt install openssl adds them.'
	$(Q)$(MAKE) --no-print-directory test-typescript

.PHONY: test-typescript
test-typescript: $(EXAMPLES) ## Run the tests of the TypeScript client, where there is Node 20 or newer.
	$(Q)tools/with_node.sh 'the tests of the TypeScript client were skipped.' \
	  npm test --silent --prefix clients/typescript

.PHONY: test-slow
test-slow: $(EXAMPLES) ## Run the slow tests that are no property tests: 10,000 messages under kills, faults at random, power cuts.
	$(Q)$(PYTEST) -m 'slow and not hypothesis and not scenario' $(ARGS)

.PHONY: scenarios
scenarios: $(STAMP) ## Bring about each kind of trouble, one after the other, in half an hour (ARGS names some).
	$(Q)$(BIN)/python -m tests.chaos run $(or $(ARGS),--seed 1)

.PHONY: test-uvloop
test-uvloop: $(EXAMPLES) ## Run all tests but the slow ones on uvloop (`make test` runs on asyncio).
	$(Q)$(PYTEST) -m 'not slow' -n $(JOBS) --event-loop=uvloop $(ARGS)

.PHONY: test-properties
test-properties: $(EXAMPLES) ## Run the property tests with 1000 examples each, 2 x 1000 lives of the broker's model, 500 of a whole service.
	$(Q)HYPOTHESIS_PROFILE=ci $(PYTEST) -m hypothesis -n $(JOBS) --timeout=1800 $(ARGS)

.PHONY: fuzz
fuzz: $(STAMP) ## Fire requests by chance at a gateway for MINUTES=3: none may hurt it.
	$(Q)$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(ARGS)

MINUTES ?= 3

.PHONY: test-redis7
test-redis7: $(EXAMPLES) ## Run the broker, gateway, worker and fault tests on a Redis 7.0, from REDIS7 or PATH.
	$(Q)test -n '$(REDIS7)' || { echo 'redis-server not found: apt install redis-server' >&2; exit 1; }
	$(Q)$(PYTEST) -m 'not slow' -n $(JOBS) --redis-server='$(REDIS7)' \
	  tests/broker tests/faults tests/runtime tests/server tests/worker $(ARGS)

.PHONY: soak-schedules
soak-schedules: $(EXAMPLES) ## Kill gateways and workers under 200 schedules for a minute: each occurrence is fired once.
	$(Q)$(PYTEST) -s -k whole tests/faults/test_schedules.py $(ARGS)

.PHONY: chaos
chaos: $(STAMP) ## Strike with every fault at random for MINUTES=3 (SEED=1 repeats a run), and check the history.
	$(Q)$(BIN)/python -m tests.chaos run mixed --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: mutants
mutants: $(STAMP) ## Plant small defects in copies of the tree, one by one: the harness has to see each (ARGS=fence: some).
	$(Q)$(BIN)/python -m tests.chaos.mutants $(ARGS)

.PHONY: simulate
simulate: $(STAMP) ## Live LIVES=500 lives of a service in virtual time, from a seed on (ARGS='--seed 7').
	$(Q)$(BIN)/python -m tests.simulation --lives $(LIVES) $(ARGS)

LIVES ?= 500

.PHONY: bench
bench: $(STAMP) ## Measure Penstock against its limits, in about a minute.
	$(Q)$(BIN)/python -m bench $(ARGS)

##@ Build

.PHONY: proto
proto: $(STAMP) ## Generate gen/ and clients/typescript/gen/ from protos/.
	$(Q)tools/generate.sh gen
	$(Q)tools/with_node.sh 'clients/typescript/gen was not generated.' tools/generate_typescript.sh

.PHONY: proto-check
proto-check: $(STAMP) ## Fail if generated code is not what protos/ generates.
	$(Q)out=$$(mktemp -d) && trap 'rm -rf $$out' EXIT \
	  && tools/generate.sh $$out/python && cp -R clients/typescript/gen $$out/typescript \
	  && tools/with_node.sh 'clients/typescript/gen was not checked.' \
	    tools/generate_typescript.sh $$out/typescript \
	  && diff --recursive --brief --exclude=__pycache__ $$out/python gen \
	  && diff --recursive --brief $$out/typescript clients/typescript/gen \
	  || { echo 'generated code differs from what protos/ generates: make proto' >&2; exit 1; }

.PHONY: docs
docs: $(STAMP) ## Write docs/configuration.md from the settings, and docs/reliability.md from recorded runs.
	$(Q)$(BIN)/python tools/configuration_page.py
	$(Q)$(BIN)/python -m tests.chaos record

.PHONY: wheel
wheel: $(STAMP) ## Build the wheel into dist/.
	$(Q)$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls -1t dist/*.whl | head -1

.PHONY: npm-package
npm-package: ## Build the package of the TypeScript client into dist/.
	$(Q)mkdir -p dist
	$(Q)NODE=required tools/with_node.sh 'the package cannot be built.' \
	  npm run --silent --prefix clients/typescript package

.PHONY: requirements
requirements: ## Pin the dependencies anew (ARGS=--upgrade takes newer releases).
	$(Q)PYTHON='$(PYTHON)' tools/pin.sh $(ARGS)

.PHONY: clean
clean: ## Remove what was built and cached (and keep .venv).
	$(Q)rm -rf build dist clients/typescript/dist .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	$(Q)find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
