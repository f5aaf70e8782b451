# The first two targets are all that a user needs: make demo, make test.

PYTHON ?= python3
BIN := .venv/bin
IMAGES ?=
FILTER ?= grayscale
OUT ?= demo-out

.PHONY: demo test fuzz bench-check check install clean

demo: .venv/installed
	$(BIN)/dpip run $(if $(IMAGES),"$(IMAGES)",$$($(BIN)/python -m dpip.cli.photographs)) --filter "$(FILTER)" --out "$(OUT)" --overwrite

test: .venv/installed-for-development
	$(BIN)/pytest -n 3 --dist worksteal

# 10,000 requests made up from the OpenAPI document; the last line counts the answers.
fuzz: .venv/installed-for-development
	FUZZ_CASES=10000 $(BIN)/pytest -q tests/integration/api/test_fuzz.py

# Instructions of the hot paths beside stored counts; UPDATE=yes stores them anew.
UPDATE ?=
bench-check: .venv/installed-for-development
	PYTHONPATH=. $(BIN)/python -m bench.instructions $(if $(UPDATE),--update)

check: .venv/installed-for-development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive src bench
	$(BIN)/python .ci/audit

install: .venv/installed

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "DPIP needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo]'
	touch $@

.venv/installed-for-development: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench,demo,postgres,dev]'
	touch $@ .venv/installed

clean:
	rm -rf .venv demo-out build dist
