# Everything runs in .venv and .data; nothing else of the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MANAGE := $(BIN)/python manage.py
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
ADDRESS ?= 127.0.0.1:8000

.PHONY: help ingest test test-fast check serve worker bench test-faults

help:
	@echo "make ingest       set everything up and read all sources into the index"
	@echo "make test         run the tests"
	@echo "make test-fast    run only the tests that take a moment"
	@echo "make check        format, lint, imports, types, migrations, tests, figures of search"
	@echo "make evaluate-sample  whether search answers as well as the kept figures say"
	@echo "make serve        the admin on http://$(ADDRESS), with a worker"
	@echo "make worker       the worker alone"
	@echo "make bench        how fast it is here, ratios first (a quarter of an hour)"
	@echo "make bench-peers  how fast beside LangChain and LlamaIndex"
	@echo "make test-faults  the tests that kill processes, and other long ones (an hour)"
	@echo "make secrets      the passwords that docker-compose.yml asks for"
	@echo "make audit        known vulnerabilities of the dependencies (needs the network)"

$(STAMP): requirements.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	@touch $@

$(DEV_STAMP): $(STAMP) requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
	@touch $@

.PHONY: migrate
migrate: $(STAMP)
	@$(MANAGE) migrate --verbosity 0

# Serves the sample sites on the loopback while the command runs, except with your own DATA_DIR.
SAMPLES := $(BIN)/python sample_data/serve.py

ingest: migrate
	$(SAMPLES) $(MANAGE) ingest_all

# Three test processes, even on two processors, as tests wait for servers and browsers; the fixtures give
# each a database of its own. What fails is tried once more, alone: some tests measure time, or wait for a
# browser, on a machine that may have other work.
TESTS := $(BIN)/python -m pytest -n 3
ALONE := $(BIN)/python -m pytest -x --last-failed --last-failed-no-failures none
TESTED := $(TESTS) || { [ $$? -eq 1 ] && echo "These once more, alone:" && $(ALONE); }

test: $(DEV_STAMP)
	$(TESTED)

# While you work: leaves out what takes long or needs a browser or more material.
test-fast: $(DEV_STAMP)
	$(TESTS) -m "not faults and not long and not slow and not browser and not corpus and not ollama"

check: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy bbjrag sources ingestion bench tests
	$(MANAGE) makemigrations --check --dry-run
	$(TESTED)
	$(MAKE) --no-print-directory evaluate-sample

# Whether search answers as well as the figures kept in tests/data say: on the sample data, and on real
# material if BBJRAG_CORPUS names it. evaluate-sample-keep keeps the figures of now.
KEPT_FIGURES := $(BIN)/python -m tests.scripts.kept_figures
.PHONY: evaluate-sample evaluate-sample-keep
evaluate-sample: $(DEV_STAMP)
	$(KEPT_FIGURES) sample
	$(if $(BBJRAG_CORPUS),$(KEPT_FIGURES) corpus)

evaluate-sample-keep: $(DEV_STAMP)
	$(KEPT_FIGURES) sample --keep
	$(if $(BBJRAG_CORPUS),$(KEPT_FIGURES) corpus --keep)

test-faults: $(DEV_STAMP)
	$(BIN)/python -m pytest -m "faults or long"

serve: migrate
	$(SAMPLES) $(MANAGE) serve $(ADDRESS)

worker: migrate
	$(SAMPLES) $(MANAGE) worker

# What docker-compose.yml asks for. Existing files are kept; only this user may enter the folder.
SECRETS := secret_key database_password postgres_password
.PHONY: secrets
secrets: $(SECRETS:%=secrets/%)

secrets/%:
	@mkdir -p -m 700 secrets
	@$(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(50))' > $@
	@chmod 644 $@
	@echo "made $@"

# Known vulnerabilities of what is pinned; asks a service over the network.
.PHONY: audit
audit: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	$(BIN)/pip-audit --no-deps --disable-pip -r constraints.txt

.PHONY: screenshots bench-full bench-quick
# The pictures in docs/screenshots.
screenshots: $(DEV_STAMP)
	$(BIN)/python -m tests.scripts.screenshots docs/screenshots

# Ratios first; bench takes a quarter of an hour, bench-full an hour and more.
bench: $(DEV_STAMP)
	$(BIN)/python -m bench standard

bench-quick: $(DEV_STAMP)
	$(BIN)/python -m bench quick

# Beside LangChain's indexer and LlamaIndex's pipeline, which are installed for it (needs the network).
.PHONY: bench-peers
bench-peers: $(DEV_STAMP)
	$(BIN)/python -m bench standard --only peers --topics 2000

bench-full: $(DEV_STAMP)
	$(BIN)/python -m bench full
