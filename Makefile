# Two commands do everything: `make book` and `make test`. Both start from an empty clone.
PYTHON ?= python3
PROFILE ?= synthetic
JOBS ?= 2
BIN := .venv/bin

.PHONY: book test serve lint clean

book: .venv/installed
	$(BIN)/jepascope run --profile $(PROFILE) --jobs $(JOBS)
	$(BIN)/jepascope build --profile $(PROFILE)

test: .venv/installed lint
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

serve: .venv/installed
	$(BIN)/jepascope serve

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; assert (3, 11) <= sys.version_info < (3, 14), 'Python 3.11, 3.12 or 3.13 is needed'"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[book,test]"
	touch $@

clean:
	rm -rf .venv _build runs .snakemake
