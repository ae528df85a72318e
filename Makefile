# Two commands do everything: `make up` and `make test`. `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
TIPHYS := $(BIN)/tiphys

.PHONY: up down reset test unit e2e vm-test lint types imports fmt bench help

help:
	@grep -E '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

up: .venv/installed ## install what is missing, start a cluster, show a running example
	$(TIPHYS) up --install
	examples/hello/run $(TIPHYS)

down: .venv/installed ## stop the cluster; its data stays
	$(TIPHYS) down

reset: .venv/installed ## stop the cluster and delete its data
	$(TIPHYS) reset

test: lint types imports unit e2e ## everything that CI runs

unit: .venv/dev build/node_client ## tests without root, containers or namespaces; those with etcd skip where it is absent and cannot be had
	@if [ "$$(id -u)" = 0 ]; then $(TIPHYS) install --etcd; fi
	$(BIN)/pytest tests/unit tests/property tests/repo tests/integration tests/fuzz --ignore tests/integration/store -n 2 -q
	@# Each starts etcds of its own: in a process for each file nothing of one is left for the next.
	@for file in tests/integration/store/test_*.py; do $(BIN)/pytest -q $$file || exit 1; done

e2e: .venv/dev build/kubectl ## tests with real containers, links and kernel rules (as root; else they skip)
	$(TIPHYS) install
	TIPHYS_TEST_KUBECTLS="$$(ls build/kubectl/usr/bin/kubectl 2>/dev/null)" $(BIN)/pytest tests/e2e -q

vm-test: ## what needs a machine of its own, in a virtual one (as root; some minutes with /dev/kvm, an hour without)
	$(PYTHON) tests/vm/run.py $(PARTS)

lint: .venv/dev ## ruff: rules and format
	$(BIN)/ruff check src tests bench
	$(BIN)/ruff format --check src tests bench

types: .venv/dev ## mypy, strict
	$(BIN)/mypy

imports: .venv/dev ## the layers of docs/architecture.md
	$(BIN)/lint-imports

fmt: .venv/dev ## format the code
	$(BIN)/ruff check --fix src tests bench
	$(BIN)/ruff format src tests bench

bench: .venv/dev ## measure; prints a table and writes build/bench.json
	$(BIN)/python bench/run.py

# A fresh Debian has Python, but neither venv nor pip.
.venv/bin/python:
	$(PYTHON) -m venv .venv || (apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv .venv)

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check -e .
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m compileall -q src # halves the time of every start
	@touch $@

.venv/dev: .venv/installed
	$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

# The oldest kubectl that Debian has, beside whatever is installed; without apt the tests use what they find.
build/kubectl:
	@mkdir -p build/deb && cd build/deb && (apt-get download -qq kubernetes-client 2>/dev/null || (apt-get update -qq && apt-get download -qq kubernetes-client)) \
	  && dpkg -x kubernetes-client_*.deb ../kubectl || mkdir -p ../kubectl

# JavaScript's client and helm, for tests; without npm they skip. Scripts of packages are not run.
build/node_client: tests/integration/clients/node_client/package.json
	@mkdir -p $@ && cp $< $@/
	@command -v npm >/dev/null && npm install --prefix $@ --silent --no-audit --no-fund --ignore-scripts || echo "no npm: tests with JavaScript's client and helm skip"
	@touch $@
