# Two commands for a new user: `make demo`, `make test`. Needs Python 3.11 or later, nothing else.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
OUT    ?= runs/demo

# Real MNIST lies beside the project in some workshops; without it, it is downloaded or cached.
ifneq ($(wildcard ../shared/data),)
export POCKETLENS_DATA ?= $(abspath ../shared/data)
endif

.PHONY: help demo test browser check format benchmark conformance conformance-tensorflow fuzz clean

help:
	@echo "make demo       from handwritten digits to a checked Core ML file, an Xcode project, a report"
	@echo "make test       the tests"
	@echo "make browser    the tests of the preview's page, in Chromium"
	@echo "make check      ruff and mypy"
	@echo "make format     format the code"
	@echo "make benchmark  measure every figure that the README claims"
	@echo "make conformance  coremltools' own tests, with Pocketlens in Core ML's place"
	@echo "make conformance-tensorflow  those of its TensorFlow front end, in $(TENSORFLOW)"
	@echo "make fuzz       damaged Core ML files, two minutes; more: make fuzz FUZZ_SECONDS=600"
	@echo "make clean      remove the environment and the runs"

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pocketlens needs Python 3.11 or later; try: make PYTHON=python3.11")'
	@echo "Setting up $(VENV), once; this takes a minute or two."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -e '.[all,dev]' -c constraints.txt
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/pocketlens run --out $(OUT)

# Each processor takes one file after another; the longest files begin first.
test: $(VENV)/.installed
	$(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder

# In Debian's Chromium, which must be installed; the axe-core of npm is fetched for it.
browser: $(VENV)/.installed
	$(BIN)/python -m pytest -m browser tests/preview

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: demo
	$(BIN)/python benchmarks/recipes.py
	$(BIN)/python benchmarks/strokes.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/app.py
	$(BIN)/python benchmarks/runtime.py
	$(BIN)/python benchmarks/preview.py
	$(BIN)/python benchmarks/correcting.py $(OUT)
	$(BIN)/python benchmarks/table.py

# Hours for all of it; minutes for a tenth: make conformance CONFORMANCE='--quick --sample 0.1'
conformance: $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -e '.[conformance]' -c constraints.txt
	$(BIN)/python conformance/run.py $(CONFORMANCE)

# TensorFlow's NumPy and protobuf are older than the project's own, and it needs Python 3.11.
TENSORFLOW := .venv-tensorflow
$(TENSORFLOW)/.installed: conformance/tensorflow.txt
	$(PYTHON) -m venv $(TENSORFLOW)
	$(TENSORFLOW)/bin/python -m pip install --disable-pip-version-check --quiet -r conformance/tensorflow.txt
	@touch $@

# Some half an hour for 16 tests of each function; options given last win: CONFORMANCE='--each 2 --out build'
conformance-tensorflow: $(TENSORFLOW)/.installed
	PYTHONPATH=$(abspath src) $(TENSORFLOW)/bin/python conformance/run.py --suite tensorflow-ops --each 16 \
		--out conformance/tensorflow $(CONFORMANCE)

# Half of the time damages files by seed; the other half is led by coverage, which needs atheris.
FUZZ_SECONDS ?= 120
fuzz: $(VENV)/.installed
	$(BIN)/python -W ignore fuzz/structured.py --seconds $$(($(FUZZ_SECONDS) / 2)) --seeds $$(date +%s) 1000000
	@$(BIN)/python -c 'import atheris' 2>/dev/null || \
		{ echo "The coverage-guided half needs atheris; install it with: $(BIN)/pip install -e '.[fuzz]'"; exit 2; }
	mkdir -p build/fuzz/model build/fuzz/weights build/fuzz/manifest
	cd build/fuzz && for target in model weights manifest; do \
		$(abspath $(BIN))/python -W ignore ../../fuzz/guided.py $$target $$target ../../fuzz/corpus/$$target \
			-max_total_time=$$(($(FUZZ_SECONDS) / 6)) || exit 1; done

clean:
	rm -rf $(VENV) $(TENSORFLOW) runs
