# make demo | make test | make check | make bench: each sets up what it needs first.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help setup demo test test-slow clients conformance check fix bench bench-gateway bench-kube bench-scale docs clean safety contract manifests image

help:
	@echo "make demo      set everything up, then the main job from lab up to a graded report"
	@echo "make test      the default test suite"
	@echo "make test-slow the tests that bring up whole labs or wait long"
	@echo "make clients   drive kubectl and the other clients, and write their table in docs/localkube.md"
	@echo "make conformance   the behaviour cases on a localkube, or on a cluster: KUBECONFIG=/path"
	@echo "make safety    the safety plane on a localkube, or on a cluster: KUBECONFIG=/path [CONTEXT=name]"
	@echo "make contract  a provider: PROVIDER=local, kind [NODE_IMAGE=ref] or k3s, or PROVIDER=kubeconfig KUBECONFIG=/path [CONTEXT=name] [IMAGE=ref]"
	@echo "make manifests every manifest as a server-side dry run: KUBECONFIG=/path [CONTEXT=name]"
	@echo "make image     the image: its steps in a plain directory, and where Docker is, built and run in containers"
	@echo "make check     ruff, mypy --strict, import-linter, hadolint, generated pages"
	@echo "make fix       format, and mend what ruff can mend"
	@echo "make bench     measure: bring-up, API start, grade, memory, pods"
	@echo "make bench-gateway   measure the gateway against its targets"
	@echo "make bench-kube      measure localkube against its targets; KUBECONFIG=FILE another server, AGAINST=FILE in turns"
	@echo "make bench-scale     replay the load of many labs on a server: [KUBECONFIG=FILE] [N=1,10,50]"
	@echo "make docs      generate the pages that are generated"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 14) else "toil-lab needs Python 3.11 to 3.14, this is %d.%d: make PYTHON=python3.12 ..." % v)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "no virtual environment: on Debian, apt-get install python3-venv"; exit 3; }
	@echo "installing into $(VENV) (a minute or two the first time)" >&2
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/lab setup
	@touch $@

demo: $(READY)
	@$(BIN)/lab demo

test: $(READY) # most of a test's time is waiting; whole lab tests (test-slow) want the machine for themselves
	@$(BIN)/pytest -q -n logical --maxprocesses=4 --dist loadfile

test-slow: $(READY)
	@$(BIN)/pytest -q -m slow

clients: $(READY)
	@$(BIN)/python -m tests.conforming

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hadolint clusters/image/Dockerfile
	@$(BIN)/python -m tests.generate --check

fix: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# From the command line only: the KUBECONFIG of a person's shell is no invitation.
given = $(if $(filter command line,$(origin $(1))),$($(1)))

conformance: $(READY)
	@CONFORMANCE_KUBECONFIG='$(call given,KUBECONFIG)' CONFORMANCE_WHOLE=1 $(BIN)/pytest -q tests/conformance

safety: $(READY)
	@SAFETY_KUBECONFIG='$(call given,KUBECONFIG)' SAFETY_CONTEXT='$(call given,CONTEXT)' SAFETY_CONTEXT_AGAIN='$(call given,AGAIN)' \
		$(BIN)/pytest -q -m safety

contract: $(READY)
	@LAB_PROVIDER='$(or $(PROVIDER),local)' LAB_KUBECONFIG='$(abspath $(call given,KUBECONFIG))' LAB_CONTEXT='$(call given,CONTEXT)' \
		LAB_CONTEXT_AGAIN='$(call given,AGAIN)' LAB_IMAGE='$(IMAGE)' LAB_NODE_IMAGE='$(NODE_IMAGE)' \
		$(BIN)/pytest -q -m contract tests/contract

manifests: $(READY)
	@MANIFESTS_KUBECONFIG='$(abspath $(call given,KUBECONFIG))' MANIFESTS_CONTEXT='$(call given,CONTEXT)' \
		MANIFESTS_CONTEXT_AGAIN='$(call given,AGAIN)' $(BIN)/pytest -q tests/manifests

image: $(READY)
	@$(BIN)/pytest -q -m image tests/image

bench: $(READY)
	@$(BIN)/python -m tests.bench

bench-gateway: $(READY)
	@$(BIN)/python -m tests.bench_gateway

# Only a KUBECONFIG of this command line counts: the one of the environment may lead to somebody's real cluster.
bench-kube: $(READY)
	@$(BIN)/python -m tests.bench_kube $(if $(filter command,$(origin KUBECONFIG)),--kubeconfig $(KUBECONFIG)) \
		$(if $(AGAINST),--against $(AGAINST)) $(BENCH)

bench-scale: $(READY)
	@$(BIN)/python -m tests.bench_scale $(if $(filter command,$(origin KUBECONFIG)),--kubeconfig $(KUBECONFIG)) \
		$(if $(N),--labs $(N)) $(BENCH)

docs: $(READY)
	@$(BIN)/python -m tests.generate

clean:
	@test ! -x $(BIN)/lab || $(BIN)/lab down --all
	rm -rf $(VENV) build *.egg-info
