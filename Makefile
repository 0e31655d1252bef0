# Each target sets up .venv by itself: with only Python 3.11 or newer, pip and make, `make demo` and `make test` work.
# PYTHON=… names the interpreter to set up with; ARGS=… is passed on to the demonstration, to pytest or to the benchmarks.

unexport PYTHONHOME PYTHONPATH
export PYTHONNOUSERSITE = 1

# Most tests wait for a process or a time-out. A file's tests stay together, and files keep their order.
SEVERAL = .venv/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL = help
.PHONY: help demo test test-postgres matrix figures bench lint format clean install

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: install ## run each kind of failure, live, on one machine
	@.venv/bin/execution-status demo $(ARGS)

test: lint ## run all checks, then all tests, three files at a time
	$(SEVERAL)$(if $(ARGS), $(ARGS))

test-postgres: install ## run what needs a store with all of it on PostgreSQL
	$(SEVERAL) tests/contract tests/temporal tests/matrix --store postgres $(ARGS)

matrix: install ## let every fault strike in every phase, on real processes
	.venv/bin/pytest tests/matrix --matrix whole $(ARGS)

figures: install ## measure how soon failures are told, with all timeouts at their defaults: six minutes
	@.venv/bin/python -m benchmarks.detection

bench: ## measure us and our peers side by side, twenty minutes; ARGS="emit fold --quick" for some of it
	@requirements/install.sh bench
	@.venv/bin/python -m benchmarks $(ARGS)

lint: install ## check format, style, types and the arrows between the packages
	.venv/bin/ruff format --check --quiet .
	.venv/bin/ruff check --quiet .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

format: install ## format the code and sort its imports
	.venv/bin/ruff check --quiet --fix-only .
	.venv/bin/ruff format .

install:
	@requirements/install.sh

clean: ## remove .venv and every cache
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
