# Two commands do everything: `make book` and `make test`. Both start from an empty clone.
PYTHON ?= python3
PROFILE ?= synthetic
JOBS ?= 2
BIN := .venv/bin

.PHONY: book test test-cluster serve watch review lint clean

book: .venv/installed
	$(BIN)/jepascope run --profile $(PROFILE) --jobs $(JOBS)
	$(BIN)/jepascope build --profile $(PROFILE)

test: .venv/installed lint
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

# Needs SLURM and munge on this machine (Debian: slurm-wlm, munge); they run on the loopback.
test-cluster: .venv/installed
	$(BIN)/python -m pytest -m cluster tests/cluster

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

serve: .venv/installed
	$(BIN)/jepascope serve

# Pages that follow every save of a chapter, a library module or a parameter.
watch: .venv/installed
	$(BIN)/jepascope watch --profile $(PROFILE) --jobs $(JOBS)

# The book with comments under its pages.
review: .venv/review
	$(BIN)/jepascope review

# What only a review needs.
.venv/review: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[review]"
	touch $@

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; assert (3, 11) <= sys.version_info < (3, 14), 'Python 3.11, 3.12 or 3.13 is needed'"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[book,test]"
	touch $@

clean:
	rm -rf .venv _build runs .snakemake
