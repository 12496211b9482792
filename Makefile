# `make demo` and `make test` set up what they need in .venv; a second run sets up nothing.
PYTHON ?= python3
DEMO ?= .demo/night-ferry.bot
PREPARED ?= .demo/prepared
BUDGET ?= 100s
TEST_ARGS ?=
INPUTS ?= 1000000
SEED ?= 1
SOAK ?= 1h
# PyTorch's own index for CPU builds may be named here; the default is plain pip.
TORCH_INDEX ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SOURCES := pyproject.toml constraints.txt

.PHONY: demo test soak lint bench clean help

help:
	@echo "make demo    train a bot on the sample corpus and talk to it"
	@echo "make test    run every test"
	@echo "make soak    a million mutated files through every reader (INPUTS and SEED say how many and which), 1,000 killed"
	@echo "             trainings, 10,000 damaged checkpoints, an hour of training (SOAK) with its memory watched"
	@echo "make lint    format, lint and types only"
	@echo "make bench   compare with other ways, as ratios"
	@echo "make clean   remove .venv, the demo's bot and caches"

demo: $(DEMO)/card.md
	@if [ -t 0 ]; then $(BIN)/s2sbot chat $(DEMO); \
	else $(BIN)/s2sbot chat $(DEMO) --no-store --ask "Good evening." --ask "Who are you?" \
	  --ask "Do you like the fog?" --ask "I am tired." --ask "Good night."; fi

# the card is written when a run has come to its end; one that was stopped goes on
$(DEMO)/card.md: | .venv/installed
	@if [ -f $(DEMO)/training/settings.toml ]; then $(BIN)/s2sbot train --bot $(DEMO) --resume; \
	else $(BIN)/s2sbot train corpora/night-ferry --bot $(DEMO) --budget $(BUDGET); fi

$(PREPARED)/data.json: | .venv/installed
	$(BIN)/s2sbot corpus prepare corpora/night-ferry --out $(PREPARED)

test: .venv/installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 $(TEST_ARGS)

soak: .venv/installed-dev $(PREPARED)/data.json
	$(BIN)/python tests/fuzzing.py soak --inputs $(INPUTS) --seed $(SEED)
	$(BIN)/python -m pytest -m soak
	$(BIN)/python benchmarks/training.py $(PREPARED) --soak $(SOAK)

lint: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: .venv/installed-dev $(DEMO)/card.md $(PREPARED)/data.json
	@for words in "chat.py $(DEMO)" "ngram.py $(DEMO)" "models.py $(DEMO) --seconds 30" recurrent.py \
	  output_loss.py "training.py $(PREPARED)" "corpora.py corpora/night-ferry" "memory.py --sizes 2,20"; do \
	  echo "== $$words"; $(BIN)/python benchmarks/$$words || exit 1; done

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit("s2sbot needs Python 3.11 or newer, this is " + sys.version.split()[0] \
	  + ": name one, as in make demo PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	@echo "making .venv"
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: .venv/created $(SOURCES)
	@echo "installing s2sbot and PyTorch into .venv (the first time this downloads some hundred MB)"
	@if [ -n "$(TORCH_INDEX)" ]; then $(PIP) --index-url $(TORCH_INDEX) torch; fi
	@$(PIP) --editable .
	@touch $@

.venv/installed-dev: .venv/installed $(SOURCES)
	@echo "installing the tools of the tests into .venv"
	@$(PIP) --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv .demo build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
