# make data    bring every data set into data/ (NAMES="photos tweets" narrows it, STAND_IN=1 draws small ones instead)
# make run     execute every notebook into out/ (NOTEBOOKS=a1_part_1 and PROFILE=full narrow and deepen it)
# make test    lint, unit tests, the deliverable check, and every notebook in quick from an empty folder
# make full    execute in full on the real data and write the deliverables: make full NOTEBOOKS=a1_part_1
# make install  what the notebooks need, into .venv
# make notebook  open JupyterLab with everything installed (PROFILE=full for the whole experiment)
# make pdf     typeset part_v/a1_part_5.tex and its checkpoint version (needs LaTeX); TEAM="alice bob" names its authors, in out/part_v
# make site    deliverables, PDF and rubric as a static site in site/, for graders
# make bench   our batches and training step against the usual way

PYTHON ?= python3
BIN := .venv/bin
NOTEBOOKS ?=
PROFILE ?=
YES := 1 yes Yes YES true True TRUE on On ON
NO := 0 no No NO false False FALSE off Off OFF

# Else make would do everything, and only then find no rule for the name.
ifneq ($(filter a1_% photos power tweets others vectors food imagenet,$(MAKECMDGOALS))$(filter command,$(origin NAME) $(origin NOTEBOOK)),)
$(error names are given as variables: make data NAMES="photos tweets", make run NOTEBOOKS=a1_part_1)
endif

run: .venv/run
	$(BIN)/python tools/nb.py run $(if $(PROFILE),--profile $(PROFILE)) $(NOTEBOOKS)

install: .venv/run

notebook: .venv/lab
	$(if $(PROFILE),A1_PROFILE=$(PROFILE)) $(BIN)/python -m jupyterlab $(addsuffix .ipynb,$(NOTEBOOKS:.ipynb=))

data: .venv/run
	$(if $(filter-out $(YES) $(NO),$(STAND_IN)),$(error STAND_IN is $(STAND_IN): set it to 1 or 0))
	$(BIN)/python tools/data.py $(if $(filter-out $(NO),$(STAND_IN)),--stand-in,$(NAMES))

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check a1 tools tests bench part_v
	$(BIN)/python -m pytest
	$(BIN)/python tools/nb.py check

full: .venv/run
	$(BIN)/python tools/nb.py run --full $(NOTEBOOKS)

build: .venv/run
	$(BIN)/python tools/nb.py build $(NOTEBOOKS)

check: .venv/run
	$(BIN)/python tools/nb.py check $(NOTEBOOKS)

site: .venv/dev
	$(BIN)/python tools/site.py

bench: .venv/dev
	$(BIN)/python -m bench.bench_loader
	$(BIN)/python -m bench.bench_step

# The hash of the source goes into the PDF: a test compares it with the committed .tex. With TEAM the PDFs carry
# the names, and the committed ones, which carry none, stay.
pdf: SOURCE_HASH = $(shell $(PYTHON) -c 'import hashlib; print(hashlib.sha256(open("part_v/a1_part_5.tex", "rb").read()).hexdigest())')
pdf: SUFFIX = $(if $(TEAM),_$(subst $() $(),_,$(strip $(TEAM))))
pdf: MACROS = \def\SourceHash{$(SOURCE_HASH)}\def\Team{$(subst $() $(), and ,$(strip $(TEAM)))}
pdf: LATEXMK = latexmk -pdf -silent -interaction=nonstopmode -halt-on-error -outdir=../out/part_v -usepretex
pdf: export TEAM := $(TEAM)
pdf:
	@case "$$TEAM" in *[!A-Za-z0-9\ -]*) echo 'TEAM takes a to z, digits and hyphens, as names of files: TEAM="alice bob"'; exit 1;; esac
	@command -v latexmk >/dev/null || { echo "LaTeX is needed: part_v/README.md names its packages"; exit 1; }
	mkdir -p out/part_v
	rm -f out/part_v/*.log
	cd part_v && $(LATEXMK) -pretex='$(MACROS)' -jobname=a1_part_5$(SUFFIX) a1_part_5.tex
	cd part_v && $(LATEXMK) -pretex='$(MACROS)\def\Checkpoint{}' -jobname=a1_part_5_checkpoint$(SUFFIX) a1_part_5.tex
	! grep -E '^(Overfull|Underfull|LaTeX Warning|Package [a-z]+ Warning)' out/part_v/*.log
	$(if $(TEAM),,cp out/part_v/a1_part_5.pdf out/part_v/a1_part_5_checkpoint.pdf part_v/)

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format a1 tools tests bench part_v

.venv/run: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else 0'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

.venv/lab: .venv/run
	$(BIN)/python -m pip install --quiet 'jupyterlab>=4.2,<5'
	touch $@

.venv/dev: requirements-dev.txt .venv/run
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv out site

.PHONY: run install notebook data test full build check site bench pdf format clean
