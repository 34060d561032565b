# Two commands for a new user: `make quick`, `make test`. Needs Python 3.11 or later, nothing else.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
OUT    ?= runs/demo

# If MNIST is next to the project, it is used; otherwise it is downloaded once.
ifneq ($(wildcard ../shared/data),)
export POCKETLENS_DATA ?= $(abspath ../shared/data)
endif

.PHONY: help quick demo test test-slow test-scale test-oldest coverage browser check format docs benchmark \
	conformance conformance-sample conformance-onnx conformance-tensorflow fuzz fuzz-commands clean

help:
	@echo "make quick      train digits in seconds: Core ML file, Xcode project, report"
	@echo "make demo       the digit recognizer for a camera, in a few minutes"
	@echo "make test       the tests"
	@echo "make test-slow  the tests that take long"
	@echo "make test-scale  the tests of sweep, with Ray"
	@echo "make test-oldest  the runtime and conversion with the oldest supported packages"
	@echo "make coverage   the tests, and how much of the code they run"
	@echo "make browser    the tests of the pages, in Chromium"
	@echo "make check      ruff and mypy"
	@echo "make format     format the code"
	@echo "make docs       build the documentation into site/"
	@echo "make benchmark  measure every number that README claims"
	@echo "make conformance  run coremltools' own tests with Pocketlens as the runtime"
	@echo "make conformance-onnx  ONNX's own node tests, converted to Core ML and run"
	@echo "make conformance-tensorflow  those of its TensorFlow frontend, in $(TENSORFLOW)"
	@echo "make fuzz       damaged Core ML files, for two minutes; longer: make fuzz FUZZ_SECONDS=600"
	@echo "make fuzz-commands  every command on damaged files, for two minutes"
	@echo "make clean      remove the environments, the runs and the site"

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Pocketlens needs Python 3.11 or later; try: make PYTHON=python3.11")'
	@echo "Setting up $(VENV), once; this takes a minute or two."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -e '.[all,dev]' -c constraints.txt
	@touch $@

quick: $(VENV)/.installed
	$(BIN)/pocketlens run quick --out runs/quick

demo: $(VENV)/.installed
	$(BIN)/pocketlens run --out $(OUT)

# One process per core; each takes one file after another, the longest first.
PYTEST := $(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder
test: $(VENV)/.installed
	$(PYTEST)

test-slow: $(VENV)/.installed
	$(PYTEST) -m 'slow and not browser'

# Ray and Optuna are not among the packages for development: they are large.
test-scale: $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -e '.[scale]' -c constraints.txt
	$(BIN)/python -m pytest -m 'slow or not slow' tests/scale

# The lowest coverage accepted is in pyproject.toml.
coverage: $(VENV)/.installed
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=xml:build/coverage.xml

# First without PyTorch, as after `pip install pocketlens`, then conversion with it.
OLDEST := .venv-oldest
OLDEST_RUNTIME := tests/coreml/file tests/coreml/classic tests/coreml/runtime/test_graph_model.py \
	tests/coreml/runtime/test_model.py tests/coreml/test_plugin.py \
	tests/coreml/ops/test_refused.py tests/test_image.py tests/test_prediction.py tests/test_files.py \
	tests/test_recipe.py
OLDEST_CONVERSION := tests/coreml tests/conversion --ignore tests/conversion/test_from_keras.py
$(OLDEST)/.installed $(OLDEST)-convert/.installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --disable-pip-version-check --quiet -c constraints-oldest.txt \
		pytest pytest-xdist -e '.$(if $(findstring convert,$@),[convert])'
	@touch $@

test-oldest: $(OLDEST)/.installed $(OLDEST)-convert/.installed
	$(OLDEST)/bin/python -m pytest -n logical --dist loadfile $(OLDEST_RUNTIME)
	$(OLDEST)-convert/bin/python -m pytest -n logical --dist loadfile $(OLDEST_CONVERSION)

# In Debian's Chromium, which must be installed; axe-core is downloaded from npm. A part of them:
# make browser BROWSER='browser and not slow'
BROWSER := browser
browser: $(VENV)/.installed
	$(PYTEST) -m '$(BROWSER)' tests/preview tests/web

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

benchmark: demo
	$(BIN)/python benchmarks/recipes.py
	$(BIN)/python benchmarks/strokes.py
	$(BIN)/python benchmarks/hands.py --seeds 3
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/busy.py
	$(BIN)/python benchmarks/attacks.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/photos.py
	$(BIN)/python benchmarks/app.py
	$(BIN)/python benchmarks/runtime.py
	$(BIN)/python benchmarks/preview.py
	$(BIN)/python benchmarks/finetuning.py $(OUT)
	$(BIN)/python benchmarks/table.py

# Hours for all of it; minutes for a tenth: make conformance CONFORMANCE='--quick --sample 0.1'
CLASSIC := build/conformance
$(CLASSIC)/.installed: conformance/classic.txt $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --target $(CLASSIC) -r $<
	@touch $@

conformance: $(CLASSIC)/.installed
	PYTHONPATH=$(abspath $(CLASSIC)) $(BIN)/python conformance/run.py $(CONFORMANCE)
	$(if $(CONFORMANCE),,$(MAKE) conformance-onnx)

# Suites that need none of the older packages: make conformance-sample CONFORMANCE='--suite mil-ops --sample 0.02'
conformance-sample: $(VENV)/.installed
	$(BIN)/python conformance/run.py $(CONFORMANCE)

# ONNX's node tests, converted to Core ML; a part of them: make conformance-onnx ONNX_NODES='--sample 0.1'
conformance-onnx: $(VENV)/.installed
	$(BIN)/python conformance/onnx_nodes.py $(ONNX_NODES)

# TensorFlow needs older versions of NumPy and protobuf than the project, and Python 3.11.
TENSORFLOW := .venv-tensorflow
$(TENSORFLOW)/.installed: conformance/tensorflow.txt
	$(PYTHON) -m venv $(TENSORFLOW)
	$(TENSORFLOW)/bin/python -m pip install --disable-pip-version-check --quiet -r conformance/tensorflow.txt
	@touch $@

# About half an hour for 16 tests of each function; the last of equal options wins: CONFORMANCE='--each 2 --out build'
conformance-tensorflow: $(TENSORFLOW)/.installed
	PYTHONPATH=$(abspath src) $(TENSORFLOW)/bin/python conformance/run.py --suite tensorflow-ops --each 16 \
		--out conformance/tensorflow $(CONFORMANCE)

# Half of the time damages files by seed; the other half is guided by coverage and needs atheris.
FUZZ_SECONDS ?= 120
fuzz: $(VENV)/.installed
	$(BIN)/python -W ignore fuzz/structured.py --seconds $$(($(FUZZ_SECONDS) / 2)) --seeds $$(date +%s) 1000000
	@$(BIN)/python -c 'import atheris' 2>/dev/null || \
		{ echo "The coverage-guided half needs atheris; install it with: $(BIN)/pip install -e '.[fuzz]'"; exit 2; }
	mkdir -p build/fuzz/model build/fuzz/weights build/fuzz/manifest
	cd build/fuzz && for target in model weights manifest; do \
		$(abspath $(BIN))/python -W ignore ../../fuzz/guided.py $$target $$target ../../fuzz/corpus/$$target \
			-max_total_time=$$(($(FUZZ_SECONDS) / 6)) || exit 1; done

fuzz-commands: $(VENV)/.installed
	$(BIN)/python -W ignore fuzz/commands.py --seconds $(FUZZ_SECONDS) --seeds $$(date +%s) 1000000

clean:
	rm -rf $(VENV) $(OLDEST) $(OLDEST)-convert $(TENSORFLOW) runs site build
