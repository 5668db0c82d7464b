# make data    bring every data set into data/ (NAMES="photos tweets" narrows it, STAND_IN=1 draws small ones instead)
# make run     execute every notebook into out/ (NOTEBOOKS=a1_part_1 and PROFILE=full narrow and deepen it)
# make test    lint, unit tests, the deliverable check, and every notebook in quick from an empty folder
# make full    execute in full on the real data and write the deliverables: make full NOTEBOOKS=a1_part_1
# make pdf     typeset part_v/a1_part_5.tex and its checkpoint version (needs LaTeX, see README)
# make site    deliverables, PDF and rubric as a static site in site/, for graders
# make bench   our batches and training step against the usual way

PYTHON ?= python3
BIN := .venv/bin
NOTEBOOKS ?=
PROFILE ?=
NO := 0 no No NO false False FALSE off Off OFF

run: .venv/run
	$(BIN)/python tools/nb.py run $(if $(PROFILE),--profile $(PROFILE)) $(NOTEBOOKS)

data: .venv/run
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

# The hash of the source goes into the PDF: a test compares it with the committed .tex.
pdf: SOURCE_HASH = $(shell $(PYTHON) -c 'import hashlib; print(hashlib.sha256(open("part_v/a1_part_5.tex", "rb").read()).hexdigest())')
pdf: LATEXMK = latexmk -pdf -silent -interaction=nonstopmode -halt-on-error -outdir=../out/part_v -usepretex
pdf:
	mkdir -p out/part_v
	cd part_v && $(LATEXMK) -pretex='\def\SourceHash{$(SOURCE_HASH)}' a1_part_5.tex
	cd part_v && $(LATEXMK) -pretex='\def\SourceHash{$(SOURCE_HASH)}\def\Checkpoint{}' -jobname=a1_part_5_checkpoint a1_part_5.tex
	! grep -E '^(Overfull|Underfull|LaTeX Warning|Package [a-z]+ Warning)' out/part_v/*.log
	cp out/part_v/a1_part_5.pdf out/part_v/a1_part_5_checkpoint.pdf part_v/

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format a1 tools tests bench part_v

.venv/run: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else 0'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

.venv/dev: requirements-dev.txt .venv/run
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	touch $@

clean:
	rm -rf .venv out site

.PHONY: run data test full build check site bench pdf format clean
