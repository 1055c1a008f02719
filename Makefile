# The two commands: `make reproduce` and `make test`. Both set up everything first.
PYTHON ?= python3
SUITE ?= mini
VENV := .venv
BIN := $(VENV)/bin
# all that can be made again lies here; `make clean` removes it
export CMMLIB_CACHE ?= $(CURDIR)/.cache

.PHONY: reproduce test lint notebooks reference zoo lock lab clean distclean

reproduce: $(VENV)/.ready
	$(BIN)/cmm reproduce --suite $(SUITE) $(if $(QUICK),--quick)

# the notebooks are checked from an empty store: a score kept from before would prove nothing
test: $(VENV)/.ready lint
	rm -rf "$(CMMLIB_CACHE)/test/results"
	CMMLIB_CACHE="$(CMMLIB_CACHE)/test" $(BIN)/pytest --nbval --nbval-current-env tests notebooks

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lab: $(VENV)/.ready
	$(BIN)/jupyter lab notebooks

# for maintainers: save the notebooks' outputs anew, make the reference results, the models, the lock
notebooks: $(VENV)/.ready
	rm -rf "$(CMMLIB_CACHE)/test/results"
	CMMLIB_CACHE="$(CMMLIB_CACHE)/test" TQDM_MININTERVAL=60 $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
		--ExecutePreprocessor.record_timing=False notebooks/*.ipynb

reference: $(VENV)/.ready
	$(BIN)/cmm reproduce --suite $(SUITE) --no-check
	mkdir -p figures/reference/$(SUITE)
	cp figures/$(SUITE)/*.csv figures/$(SUITE)/*.md figures/$(SUITE)/*.tex figures/$(SUITE)/*.png figures/$(SUITE)/*.pdf figures/reference/$(SUITE)/

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
	rm -rf .cache figures/mini* figures/clip* .pytest_cache .hypothesis .ruff_cache

distclean: clean
	rm -rf $(VENV)
