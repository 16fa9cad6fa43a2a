# Singularity: `make` lists what can be made. PG_CONFIG chooses the PostgreSQL server, DESTDIR a packaging root.
SHELL := /bin/bash
SERVERS = $(shell ls -v /usr/lib/postgresql/*/bin/postgres 2>/dev/null)
PG_CONFIG ?= $(if $(SERVERS),$(dir $(lastword $(SERVERS)))pg_config,pg_config)
VENV := .venv/bin
PGXS_MAKE = $(MAKE) --no-print-directory -C extension PG_CONFIG='$(PG_CONFIG)'
SERVER_FILES = $(DESTDIR)$$($(PG_CONFIG) --sharedir)/singularity
ADMIN = $(if $(DESTDIR),,$(if $(shell test -w "$$($(PG_CONFIG) --sharedir)/extension" || echo no),sudo))
RELEASE := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" extension/singularity.control)
TYPED := python tests extension
export PG_CONFIG

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

all: build

deps: ## install what is missing: PostgreSQL, PL/Python, pgvector, .venv
	@extension/deps.sh

build: ## write the install scripts, collect the server's Python packages and the model
	@$(PGXS_MAKE) -s all
	@extension/server-files.sh collect

install: build ## install both extensions into the server's folders (sudo where needed)
	@if diff -qr build/server "$(SERVER_FILES)" >/dev/null 2>&1; then :; else \
	  echo "install: into $(SERVER_FILES)"; \
	  $(ADMIN) extension/server-files.sh install "$(SERVER_FILES)"; fi
	@if $(INSTALLED); then echo 'install: already there'; else \
	  echo "install: into $(DESTDIR)$$($(PG_CONFIG) --sharedir)/extension"; \
	  $(ADMIN) $(PGXS_MAKE) -s install DESTDIR='$(DESTDIR)'; fi

uninstall: ## remove them again
	@$(ADMIN) $(PGXS_MAKE) -s uninstall DESTDIR='$(DESTDIR)'
	@$(ADMIN) extension/server-files.sh uninstall "$(SERVER_FILES)"

installcheck: ## run tests/sql against the server that psql reaches
	@$(PGXS_MAKE) -s installcheck

lint: ## sqlfluff, extension/lint.py, ruff and mypy
	@echo 'lint: sqlfluff, extension/lint.py, ruff, mypy'
	@$(VENV)/sqlfluff lint sql
	@$(VENV)/python extension/lint.py
	@$(VENV)/ruff check --quiet $(TYPED)
	@$(VENV)/ruff format --quiet --check $(TYPED)
	@$(VENV)/mypy $(TYPED)

test: ready ## everything: lint, unit tests, database tests, tests/sql (PYTEST_ARGS= passes options on)
	@$(call timed,test,$(MAKE) --no-print-directory lint pytest labcheck)

pytest:
	@$(VENV)/pytest -q -n 2 --dist loadfile $(PYTEST_ARGS)

labcheck:
	@echo 'installcheck: on a throwaway server'
	@$(VENV)/python -m singularity_lab $(MAKE) --no-print-directory installcheck

demo: ready ## two instances and an authority on this machine (KEEP=1 keeps them until Ctrl-C)
	@$(call timed,demo,$(VENV)/python -m singularity_lab.demo $(if $(KEEP),--keep))

bench: ready ## measure (BENCH_ARGS= passes options on)
	@$(call timed,bench,$(VENV)/python -m tests.bench $(BENCH_ARGS))

bench-search: ready ## measure what recall finds and how fast (BENCH_ARGS= passes options on)
	@$(call timed,bench-search,$(VENV)/python -m tests.bench.search $(BENCH_ARGS))

soak: ready ## break things for long, with new seeds (SOAK_ARGS= passes options on)
	@$(call timed,soak,echo 'soak: ten thousand spoiled messages' && SINGULARITY_EXAMPLES=2000 \
	  $(VENV)/pytest -q --timeout 3000 tests/security/test_any_input.py && $(VENV)/python -m tests.fault $(SOAK_ARGS))

lock: deps ## pin the newest Python packages in python/requirements*.txt
	@$(VENV)/python -m pip install --quiet uv
	@$(LOCK) python/requirements-server.in --no-deps --output-file python/requirements-server.txt
	@$(LOCK) pyproject.toml --all-extras --constraints python/requirements-server.txt \
	  --output-file python/requirements.txt

clean: ## remove what was built (not .venv)
	@$(if $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null)),$(PGXS_MAKE) -s clean)
	@rm -rf tests/output build python/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find python tests extension -name __pycache__ -prune -exec rm -rf {} +

ready: # deps, build and install one after the other: each needs what the one before made
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory install

LOCK = $(VENV)/uv pip compile --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
  --custom-compile-command 'make lock'

# A shell condition: every file that `install` would copy is there and equal.
INSTALLED = ( cd extension; for file in *.control *--$(RELEASE).sql; do \
  cmp -s "$$file" "$(DESTDIR)$$($(PG_CONFIG) --sharedir)/extension/$$file" || exit 1; done; cd doc; for file in *.md; do \
  cmp -s "$$file" "$(DESTDIR)$$($(PG_CONFIG) --docdir)/extension/singularity/$$file" || exit 1; done )

# Runs command $(2) and closes with one line about the target $(1).
timed = started=$$SECONDS; $(2) && echo "$(1): passed in $$((SECONDS - started)) s" || \
  { echo "$(1): FAILED after $$((SECONDS - started)) s"; exit 1; }

.PHONY: help all deps build install uninstall installcheck lint test pytest labcheck demo bench bench-search soak lock clean
.PHONY: ready
.NOTPARALLEL:
