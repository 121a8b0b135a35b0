# Everything starts here: `make` lists what there is. The minutes told here are the ones that count: a test compares
# README.md and docs/ with them. They are measured on 2 cores that do nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable
READY_DEMO := $(VENV)/.ready-demo
READY := $(VENV)/.ready
READY_SITE := $(VENV)/.ready-site
JOBS ?= 2
# A process a core: threads of BLAS inside one would only wait for those of the others. Each takes its half of the files
# in order, so that what a file's tests share is made once, and takes over from the other when it is through.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(JOBS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-clean demo-single-label test test-slow torture lint format docs site bench accuracy clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY_DEMO): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  "nlcli needs Python 3.11 to 3.13, %s is %d.%d; run: make PYTHON=python3.11 ..." % ((sys.executable,) + v))'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) . --no-compile
	@touch $(READY_DEMO)

$(READY): $(READY_DEMO)
	$(PIP) '.[dev,hub,tensorboard]'
	@touch $(READY)

$(READY_SITE): $(READY)
	$(PIP) '.[docs]'
	@touch $(READY_SITE)

setup: $(READY)  ## make the virtual environment .venv ready for tests, too (the demos need a part of it)

demo: $(READY_DEMO)  ## the main job on the embedded data set, 3 minutes on 2 cores
	$(BIN)/nlcli run pipelines/demo.yaml

demo-clean: $(READY_DEMO)  ## two piles of pictures with bad labels, from labels to a page each, 4 minutes on 2 cores
	$(BIN)/nlcli build-digits --kind pile --output runs/demo-clean/digits
	$(BIN)/nlcli clean runs/demo-clean/digits/photos --labels runs/demo-clean/digits/labels.csv \
	  --checked runs/demo-clean/digits/checked.csv --backbone runs/demo-clean/digits/network \
	  --output runs/demo-clean/digits-cleaned
	$(BIN)/nlcli build-digits --kind scene-pile --train-images 3000 --output runs/demo-clean/scenes
	$(BIN)/nlcli clean runs/demo-clean/scenes/photos --labels runs/demo-clean/scenes/labels.csv \
	  --checked runs/demo-clean/scenes/checked.csv --verified-means full --backbone runs/demo-clean/scenes/network \
	  --output runs/demo-clean/scenes-cleaned

demo-single-label: $(READY_DEMO)  ## every detector and method on embedded single-label data, 4 minutes on 2 cores
	$(BIN)/nlcli run pipelines/demo_single_label.yaml

test: lint  ## style, types and the tests, 10 minutes on 2 cores (JOBS=N for more)
	$(PYTEST) -m "not slow"

test-slow: $(READY)  ## the long tests, too
	$(PYTEST)

torture: $(READY)  ## kill, fuzz and obstruct the program for hours, and count what breaks (PARTS="events places" for some)
	$(BIN)/python -m torture $(PARTS)

lint: $(READY)  ## style, format and types alone, half a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## write the code as `make lint` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## write docs/cli.md from --help, nlcli/__init__.pyi from the options
	$(BIN)/python -m tools.make_cli_reference
	$(BIN)/python -m tools.make_python_stub

site: $(READY_SITE)  ## make the documentation site in build/site and check its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	$(BIN)/python -m tools.check_site build/site

bench: $(READY)  ## measure speed and memory, side by side with what you would otherwise write
	$(BIN)/python -m benchmarks

accuracy: $(READY)  ## measure how good heads and detectors are on several data sets, for hours (ROWS="digits-*@5 scenes@5", SEEDS=3)
	$(BIN)/python -m benchmarks.accuracy $(if $(ROWS),--rows $(foreach row,$(ROWS),'$(row)')) $(if $(METHODS),--methods $(METHODS)) $(if $(SEEDS),--seeds $(SEEDS))

clean:  ## remove what was built, except data and runs
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
