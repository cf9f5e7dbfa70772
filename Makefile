# Everything a developer or continuous integration runs. `make` alone prints this list.
# Needs a Python from 3.11 on (make PYTHON=... to choose one), make and a package registry; no root, no other tool.

VENV ?= .venv
PYTHON ?= python3.13 python3.12 python3.11 python3
PORT ?= 8000

BIN := $(VENV)/bin
# A stamp for each set of packages that is whole in the environment; dev holds all that the demo needs, and fuzz is beside it.
DEV := $(VENV)/.aweigh-dev
FUZZ := $(VENV)/.aweigh-fuzz
# Ray has an environment of its own: all else is tested where there is none.
RAY_VENV ?= $(VENV)-ray
RAY := $(RAY_VENV)/.aweigh-ray
# Others' clients have one too: what they need beside themselves is none of ours.
CLIENTS_VENV ?= $(VENV)-clients
CLIENTS := $(CLIENTS_VENV)/.aweigh-clients
DEMO := $(VENV)/.aweigh-demo

# The environment must not be shadowed by packages that happen to be on the caller's path.
unexport PYTHONPATH PYTHONHOME

PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input -qq install
# Every package by its locked hash, the one the builder needs included; then this checkout on top of them, editable. The lock is whole:
# pip is not to resolve anew, which it does wrongly where one package asks for extras of another (coverage[toml]).
INSTALL_LOCKED = $(PIP) --no-deps --require-hashes -r
INSTALL_SELF = $(PIP) --no-build-isolation --no-deps -e .

# With RECORD=1 the tests that pass leave their records behind docs/reference/targets.md, whatever target runs them.
SHOWN = --record-shown=docs/reference/shown.json
PYTEST = $(BIN)/python -m pytest $(if $(RECORD),$(SHOWN))
CLIENTS_PYTEST = $(CLIENTS_VENV)/bin/python -m pytest $(if $(RECORD),$(SHOWN))
RAY_PYTEST = $(RAY_VENV)/bin/python -m pytest $(if $(RECORD),$(SHOWN))
# Two workers, a file to a worker: fixtures that start a server are started once.
PARALLEL = -n 2 --dist loadfile
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
	--no-emit-index-url --no-header --annotation-style line $(UPGRADE)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two cores and one environment: `make -j` gains nothing here, and lint's answer should come first.
.NOTPARALLEL:

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(DEMO) ## Train on real data, pack, verify and serve: the app, the API and its docs on PORT (8000) until Ctrl-C
	@exec $(BIN)/python -m aweigh demo --port $(PORT)

.PHONY: test
test: lint suite ## Run everything that continuous integration runs

# The browser tests run after the others: two pages at once leave a machine of two cores quick enough for each.
.PHONY: suite
suite: $(DEV) $(CLIENTS) chromium containers-tools host-tools helm ## Run all tests but the slow ones
	$(PYTEST) $(PARALLEL) --ignore=tests/e2e tests
	$(PYTEST) $(PARALLEL) tests/e2e
	$(CLIENTS_PYTEST) tests/clients

# To count lines takes half as long again, so that continuous integration does not.
.PHONY: coverage
coverage: $(DEV) chromium containers-tools host-tools helm ## Run the same tests and count which lines they reach
	@rm -f .coverage .coverage.*
	$(PYTEST) $(PARALLEL) --ignore=tests/e2e --cov-fail-under=0 --cov --cov-report= tests
	$(PYTEST) --cov-append --cov --cov-report=term:skip-covered tests/e2e

.PHONY: lint
lint: $(DEV) ## Check style, types and that the tree names no machine
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/check_tree.py

.PHONY: format
format: $(DEV) ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: unit
unit: $(DEV) ## Run the tests that start nothing (ARGS= goes to pytest)
	$(PYTEST) --ignore=tests/e2e --ignore=tests/integration --ignore=tests/security tests $(ARGS)

.PHONY: integration
integration: $(DEV) containers-tools ## Run the tests that start a real server
	$(PYTEST) tests/integration $(ARGS)

.PHONY: e2e
e2e: $(DEV) chromium ## Run the tests that drive a browser
	$(PYTEST) -m "slow or not slow" tests/e2e $(ARGS)

# What each parser is given of it in `make security`; `make fuzz` takes 60 seconds each, or as many as it is told.
FUZZ_SECONDS ?= 5

.PHONY: security
security: $(DEV) $(FUZZ) chromium ## Run what shows that the model, the answers, the data and the door are safe: payloads, routes, stores, sign-in
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(FUZZ_SECONDS)
	$(PYTEST) -m "slow or not slow" tests/security tests/fuzz tests/unit/guard tests/unit/test_secret.py tests/unit/test_access_pieces.py tests/integration/test_access_pages.py \
	  tests/integration/test_guard_stores.py tests/integration/test_oidc.py tests/integration/test_oidc_attacks.py \
	  tests/integration/test_server_fuzz.py tests/integration/test_server_trust.py tests/integration/test_marker.py \
	  tests/integration/test_forget.py tests/integration/test_openssf.py tests/unit/bundle/test_signature.py tests/unit/bundle/test_verify.py \
	  tests/unit/test_upload_limits.py tests/integration/test_jobs.py tests/integration/test_database.py tests/integration/test_wheel.py \
	  tests/e2e/test_sign_in.py \
	  tests/e2e/test_oidc_browser.py tests/e2e/test_marker_app.py $(ARGS)

.PHONY: fuzz
fuzz: $(DEV) $(FUZZ) ## Give every parser inputs that are guided by what they reach (ARGS="--seconds 60 --only json,csv")
	$(BIN)/python tests/fuzz/fuzz.py $(ARGS)

.PHONY: slow
slow: $(DEV) chromium containers-tools host-tools helm ## Run the tests that continuous integration leaves out
	$(PYTEST) -m slow tests $(ARGS)

.PHONY: models
models: $(DEV) ## Pack every model of the suite, the slow ones too, and hold each against the original
	$(PYTEST) -m "slow or not slow" tests/models $(ARGS)

.PHONY: models-page
models-page: $(DEV) ## Write docs/reference/models.md: what every model of the suite is served as
	$(BIN)/python tools/models_table.py

.PHONY: accept-cost
accept-cost: $(DEV) ## Take what a one-row request costs now, in instructions, as what it may cost (tests/unit/request_cost.json)
	ACCEPT_COST=1 $(PYTEST) tests/unit/test_request_cost.py

BENCH = $(BIN)/python -m bench

.PHONY: bench
bench: $(DEV) ## Measure this server, the floor and the installed peers; write docs/explanation/performance.md (ARGS="--only serving")
	$(BENCH) $(ARGS)

.PHONY: profile
profile: $(DEV) ## Measure where each microsecond of a one-row request goes, and write it into the page
	$(BENCH) --only profile $(ARGS)

.PHONY: soak
soak: $(DEV) ## Ten minutes at 80 % of the capacity, a process killed every 20 s (ARGS="--minutes 2")
	$(BENCH) --only soak $(ARGS)

.PHONY: bench-check
bench-check: $(DEV) ## Fail when a one-row request costs more CPU, against the floor, than bench/results/profile.json says
	$(BENCH).stages

.PHONY: bench-peers
bench-peers: $(DEV) ## Install the peers that make bench compares with, each in an environment of its own (2.4 GB)
	$(BENCH).install_peers $(ARGS)

.PHONY: bench-page
bench-page: $(DEV) ## Write the performance page and its pictures anew from bench/results
	$(BENCH).page $(ARGS)

.PHONY: heroku-cli
heroku-cli: $(DEV) ## Drive the tests' local Heroku with Heroku's own command line, from npm (400 MB below .cache)
	$(BIN)/python tools/heroku_cli.py

.PHONY: test-all-pythons
test-all-pythons: ## Run the suite on every Python from 3.11 to 3.13 that is found here
	@tools/test_all_pythons $(MAKE)

.PHONY: chromium
chromium: ## Install Chromium where this user may; say so where not
	@tools/install_chromium

.PHONY: helm
helm: $(DEV) ## Install helm beside the environment's Python where there is none; say so where that cannot be
	@$(BIN)/python tools/install_helm.py

.PHONY: host-tools
host-tools: ## Install systemd-analyze, caddy and sshd where this user may; say so where not
	@tools/install_host_tools

# As root: it makes a Debian below .cache (a minute), boots it with systemd and sshd, and deploys to it.
.PHONY: hosts
hosts: $(DEV) ## Deploy over ssh to a real host with systemd and Caddy, in a container: under load, cut off, broken, rolled back
	@tools/install_host_tools hosts
	$(PYTEST) -m "slow or not slow" tests/hosts tests/contract -k "hosts or ssh" $(ARGS)

# Hosts and containers take root and a quarter of an hour each; what is left out (ARGS="tests/contract -k heroku") keeps its records.
.PHONY: shown
shown: $(DEV) containers-tools docker-tools host-tools ## Run the tests behind docs/reference/targets.md, record what passes, and write the page (ARGS="tests/contract")
	@tools/install_host_tools hosts
	$(PYTEST) -m shows $(SHOWN) $(or $(ARGS),tests)
	$(BIN)/python tools/targets_table.py

# The first time it builds kube-apiserver below .cache: 5 to 30 minutes on two cores, and 3 GB while it does.
.PHONY: kubernetes
kubernetes: $(DEV) ## Deploy to a real kube-apiserver (Debian's 1.20, built here) with etcd, read back by kubectl
	@tools/build_kube_apiserver
	PATH="$$PATH:$(abspath $(BIN))" $(PYTEST) -m "slow or not slow" tests/kubernetes $(ARGS)

.PHONY: ray
ray: $(RAY) ## Score and serve on a Ray of three nodes here; workers, nodes and the head are killed (1.6 GB below .venv-ray)
	$(RAY_PYTEST) -m "slow or not slow" tests/ray $(ARGS)

.PHONY: clients
clients: $(CLIENTS) ## Ask a server through Triton's and KServe's own clients (below .venv-clients)
	$(CLIENTS_PYTEST) -m "slow or not slow" tests/clients $(ARGS)

.PHONY: containers-tools
containers-tools: ## Install docker-registry, skopeo and umoci where this user may; say so where not
	@tools/install_containers

.PHONY: docker-tools
docker-tools: ## Install dockerd, docker and its compose where this user may; say so where not
	@tools/install_docker

.PHONY: containers
containers: $(DEV) containers-tools docker-tools ## Run all tests of images: podman, Docker and its compose, two Pythons, two architectures, Heroku's registry
	$(PYTEST) -m "slow or not slow" tests/integration/test_images.py tests/integration/test_image_packages.py \
	  tests/integration/test_heroku_container.py tests/integration/test_registry.py tests/integration/test_registry_odd.py tests/unit/oci \
	  tests/integration/test_compose_real.py tests/integration/test_compose_commands.py $(ARGS)
	$(PYTEST) -m "slow or not slow" tests/contract -k compose $(ARGS)

.PHONY: docs
docs: $(DEV) ## Write the reference pages that are made from the code
	$(BIN)/python tools/cli_reference.py
	$(BIN)/python tools/targets_table.py

.PHONY: requirements
requirements: $(DEV) ## Write the locks anew (UPGRADE=--upgrade takes newer versions)
	$(LOCK) pyproject.toml --extra all --group dev -o requirements/dev.txt
	$(LOCK) pyproject.toml --extra all --extra ray --extra stores --group ray -o requirements/ray.txt
	$(LOCK) pyproject.toml --extra auth --extra deploy --extra pack --group clients -o requirements/clients.txt
	$(LOCK) pyproject.toml --extra ui --extra files --extra sklearn --extra pack --group build -c requirements/dev.txt -o requirements/demo.txt
	$(LOCK) --group fuzz -o requirements/fuzz.txt

.PHONY: clean
clean: ## Remove the environments and all that the tools leave behind
	rm -rf $(VENV) $(RAY_VENV) $(CLIENTS_VENV) .venvs build dist htmlcov .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@set -e; python=$$(tools/find_python $(PYTHON)); echo "creating $(VENV) with $$python"; "$$python" -m venv $(VENV)

$(DEV): requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) what development needs (requirements/dev.txt); this takes a minute or two"
	@$(INSTALL_LOCKED) requirements/dev.txt
	@$(INSTALL_SELF)
	@touch $(DEMO) $@

# Beside what is there: development itself does not need it.
$(FUZZ): requirements/fuzz.txt $(DEV)
	@echo "installing into $(VENV) what make fuzz needs (requirements/fuzz.txt)"
	@$(INSTALL_LOCKED) requirements/fuzz.txt
	@touch $@

# An environment beside the other, by uv, of the lock that is called as it is.
define BESIDE
@echo "installing into $(1) what make $(2) needs (requirements/$(2).txt); this takes a minute at most"
@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(1)
@$(BIN)/uv pip install --quiet --python $(1)/bin/python --no-deps --require-hashes -r requirements/$(2).txt
@$(BIN)/uv pip install --quiet --python $(1)/bin/python --no-deps --no-build-isolation -e .
@touch $@
endef

$(RAY): requirements/ray.txt pyproject.toml $(DEV)
	$(call BESIDE,$(RAY_VENV),ray)

$(CLIENTS): requirements/clients.txt pyproject.toml $(DEV)
	$(call BESIDE,$(CLIENTS_VENV),clients)

$(DEMO): requirements/demo.txt pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) what the demo needs (requirements/demo.txt); this takes a minute"
	@$(INSTALL_LOCKED) requirements/demo.txt
	@$(INSTALL_SELF)
	@touch $@
