# Every target sets up what it needs: a virtual environment in .venv, made once and renewed when its two sources change.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.PHONY: demo compare compare-digits test test-daily lint docs pages format bench bench-peers test-browser test-bugs test-docs test-site test-hostile test-kills test-pythons test-slow test-wheel test-studies accept study-broadcast study-control study-generalization study-spiking vision clean

# The first interpreter that is new enough and not too new; `make PYTHON=/path/to/python test` overrides it.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && command -v "$$p" && break; done)

PY := .venv/bin/python
INSTALLED := .venv/.installed
DOCS_INSTALLED := .venv/.installed-docs
PEERS_INSTALLED := .venv-peers/.installed
PYTHONS_INSTALLED := $(foreach v,3.11 3.12 3.13,.venv-py$(v)/.installed)
# Compiled modules are kept: hundreds of tests start processes that import the library.
export PYTHONDONTWRITEBYTECODE :=
# One thread a process: tests and comparisons run as several processes instead.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
# Each process begins with tests of its own half of the files, so that what a file prepares is prepared once, and takes over others'
# at the end.
AT_ONCE := -n auto --maxprocesses 4 --dist worksteal

# The first figure: three rules on a task, half a minute.
demo: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m tca demo

compare: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m tca compare --config compare.yaml

# Broadcast rules on digits, in feedforward networks at once and in recurrent ones by rows, at the end and at equal loss.
compare-digits: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m tca compare --config compare_digits.yaml --folder runs/compare_digits

# Checks of types and style take one core, so they run beside the tests.
test: $(INSTALLED)
	$(MAKE) --no-print-directory --jobs=2 --keep-going lint test-daily

test-daily: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m pytest $(AT_ONCE) -q

lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-cache
	$(PY) -m tools.words

# The site, build/site/index.html: pages, tutorials (run once, then taken from a cache) and reference. A warning is an error.
docs: $(DOCS_INSTALLED)
	$(ONE_THREAD) $(PY) -m sphinx --builder html --fail-on-warning --keep-going --quiet docs build/site
	@echo "wrote build/site/index.html"

# Tables of the pages that are made from the code.
pages: $(INSTALLED)
	$(PY) -m tools.pages
	$(PY) -m studies.pages

format: $(INSTALLED)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m benchmarks

# The same with JAX, braintrace and curvlinops beside it, in an environment of its own.
bench-peers: $(PEERS_INSTALLED)
	$(ONE_THREAD) .venv-peers/bin/python -m benchmarks

# Pages in headless Chromium, which is not installed here: `apt-get install chromium`, or CHROMIUM=/path/to/chrome.
test-browser: $(INSTALLED)
	@$(PY) -c 'import sys; from tests.support.browser import MISSING, executable; sys.exit(None if executable() else MISSING)'
	$(ONE_THREAD) $(PY) -m pytest -q -m browser tests

test-bugs: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m tests.bugs.run

# The pages: their code, their commands on what `make compare` writes, their links and tables.
test-docs: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m pytest -q -m 'slow or not slow' tests/project/test_pages.py tests/project/test_page_commands.py \
		tests/project/test_readme.py

# The site in headless Chromium: errors, requests, widths, equations, light and dark.
test-site: docs
	$(ONE_THREAD) $(PY) -m pytest -q -m browser tests/project/test_site.py

# Processes killed by the hundred, in training, sweeps and the cache of images: is anything lost or done twice? KILLS=1000
test-kills: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m tests.robustness.kills $(or $(KILLS),1000)

# Damaged and hostile records, each looked at, swept and resumed.
test-hostile: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m tests.robustness.hostile

# The suite under every Python that README names and that is found here, each in an environment of its own, one after the other.
# Beyond 3.11 pip brings torch's CUDA build: several GB an environment. TESTS=tests/test_x.py chooses tests.
test-pythons:
	@for v in 3.11 3.12 3.13; do \
		p=; for c in python$$v $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$v.*/bin/python; do \
			[ "$$("$$c" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = $$v ] && p=$$c && break; done; \
		[ -n "$$p" ] || { outcome="$$outcome; Python $$v not found"; continue; }; \
		if $(MAKE) --no-print-directory PYTHON="$$p" .venv-py$$v/.installed && \
			$(ONE_THREAD) .venv-py$$v/bin/python -m pytest $(AT_ONCE) -q $(TESTS); \
		then outcome="$$outcome; Python $$v passed"; else outcome="$$outcome; Python $$v FAILED"; fi; \
	done; echo "$${outcome#; }"; case "$$outcome" in *FAILED*) exit 1;; *passed*) ;; *) exit 1;; esac

# The wheel as a user gets it: built, installed into an empty environment, the command and README's example run from another folder.
test-wheel: $(INSTALLED)
	rm -rf build dist
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && "$(PYTHON)" -m venv "$$folder/venv" && \
		"$$folder/venv/bin/pip" install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl && \
		$(PY) -c 'from tests.project.test_readme import README, example; print(example(README.read_text("utf-8")))' > "$$folder/example.py" && \
		cd "$$folder" && venv/bin/tca --version && venv/bin/tca list > list.txt && \
		$(ONE_THREAD) venv/bin/python example.py && test -s learning_curves.png

# What takes minutes: real clusters, behaviours that need a whole training.
test-slow: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m pytest -q -m slow

# The studies: their examples, settings, tables and pages.
test-studies: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m pytest $(AT_ONCE) -q studies

# Broadcast rules in feedforward and recurrent networks of every kind: ten seeds in 27 minutes of two cores; `--plan` lists the cells.
study-broadcast: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m studies.broadcast --out runs/broadcast --workers 2 $(if $(DATA),--data $(DATA))

# The study of curvature and generalization, in its short version; `--full` is for a GPU.
study-generalization: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m studies.generalization --out runs/generalization --workers 2

# Broadcast rules on images: digits, and MNIST from a folder given as DATA=.
vision: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m studies.vision --out runs/vision --workers 2 $(if $(DATA),--data $(DATA))

# A published spiking task in its own units, shortened; the module lists the others and runs them in full.
study-spiking: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m studies.published_spiking run delayed_match --short --out runs/published_spiking

# Returns by rule on CartPole and two pendulums, ten seeds: half an hour of a core; goes on where it was stopped.
study-control: $(INSTALLED)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation --editable '.[control]'
	$(ONE_THREAD) $(PY) -m studies.control --out runs/control --workers 2

# Sparse feedback at 3 % of the readout, twenty seeds: does diffusion help?
accept: $(INSTALLED)
	$(ONE_THREAD) $(PY) -m studies.sparse_feedback --accept --out runs/accept

clean:
	rm -rf .venv .venv-peers .venv-py* build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp goes first and comes back last, so that an interrupted installation is never taken for a whole one.
$(INSTALLED) $(PEERS_INSTALLED) $(PYTHONS_INSTALLED): %/.installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: Python 3.11, 3.12 or 3.13 is needed and none was found; name one with PYTHON=..." >&2; exit 1; }
	@test -e $@ || rm -rf $*
	@rm -f $@
	test -x $*/bin/python || "$(PYTHON)" -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt setuptools
	$*/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation --editable '.[$(if $(findstring peers,$*),peers,dev)]'
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-build-isolation --editable '.[docs]'
	@touch $@
