# One command for each thing to do here; .ci/run calls the same scripts. CONTRIBUTING.md says more.
PYTHON ?= python3
VENV ?= .venv-dev
T ?= tests
SIMD ?= baseline
EXTRAS ?= test,bench

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: build test test-long test-one test-rows lint format sanitize tsan fuzz soak lowest coverage bench docs ci clean

build:  ## an editable install in .venv-dev with all that the other targets need; again after a change of the kernel
	$(PYTHON) -m venv $(VENV)
	pip install --quiet --disable-pip-version-check -r .ci/requirements-lint.txt coverage -e '.[$(EXTRAS)]' $(WITH)

test:  ## all tests
	pytest -q -n 2 --dist loadfile

test-long:  ## all tests, with whole grids and more of what is random: hours
	CLIPX_LONG=1 pytest -q -n 2 --dist loadfile

test-one:  ## some of them: make test-one T=tests/plan/test_plan.py, or T="tests/video -k orientation"
	pytest -q -x $(T)

test-rows:  ## the kernel's tests with the portable rows; with others: make test-rows SIMD=avx2, with the best: SIMD=
	CLIPX_SIMD=$(SIMD) pytest -q -n 2 --dist loadfile tests/kernel tests/arrays/test_windows_*.py

lint:  ## the linters and the contract of imports
	.ci/lint

format:  ## sorts imports, mends what ruff can, and formats
	ruff check --fix .
	ruff format .

sanitize:  ## the kernel's tests under AddressSanitizer and UBSan: make sanitize T=tests/video for others
	.ci/sanitize -n 2 --dist loadfile $(if $(filter-out tests,$(T)),$(T),tests/kernel tests/arrays/test_windows_*.py)

tsan:  ## tests of threads under ThreadSanitizer: make tsan T=tests/loader for others
	.ci/tsan $(if $(filter-out tests,$(T)),$(T),tests/test_races.py tests/loader/test_races.py)

fuzz:  ## ten thousand mutated inputs of each kind under the sanitizers
	.ci/fuzz

soak:  ## ten million small clips and a thousand epochs: memory, descriptors and threads over time, drawn in soak.svg
	PYTHONPATH=tests python -m soak all --plot soak.svg --json soak.json

lowest:  ## the tests with the lowest versions of the dependencies
	.ci/lowest

coverage:  ## what the tests do not reach: make coverage T=tests/plan for some of them
	.ci/coverage $(T)

bench:  ## one benchmark: make bench B=copy; without B all of them, which takes an hour
	python bench/$(if $(B),bench_$(B).py,report.py)

docs:  ## the site, in docs/_build/html; its pages run
	.ci/docs

ci:  ## what CI runs, on what is committed
	.ci/run

clean:
	rm -rf build .venv-dev .coverage .coverage.* clipx/_kernel/*.c clipx/_kernel/*.so
