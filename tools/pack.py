"""Pack the deliverables for submission, under the names that the assignment asks for.

python tools/pack.py checkpoint --team alice bob   Parts I, II and V.I
python tools/pack.py final --team alice bob        all parts, and what exists of the bonus

Shared folders are named by --weights-url and --datasets-url. The zip is left in out/submission, and
beside it, to be uploaded to the first of these folders, the weights.
"""

import argparse
import hashlib
import json
import re
import shutil
import sys
import urllib.request
import zipfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from a1.files import atomic_write  # noqa: E402
from tools import nb, rubric  # noqa: E402
from tools.frozen import source_of  # noqa: E402
from tools.prose import read_results  # noqa: E402

MAX_BYTES = 10_000_000  # ten points are lost with a larger file
CHECKPOINT = ("I", "II", "V")
PDF_NAME = (
    "The handout's file lists call the PDF a1_part_5_*, its Part V once a1_part_v_*: the lists win."
)
NO_LINK = "(the link to the shared folder is still to be added)"


class Refused(Exception):
    """What must not be submitted, one line for each reason."""

    def __init__(self, reasons):
        super().__init__("\n".join(reasons))


def team_suffix(team):
    """`alice_bob`; Refused where the names are too many or cannot stand in a file's name."""
    reasons = [
        f"the team name {name!r} cannot stand in a file's name: letters, digits and - only"
        for name in team
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*", name)
    ]
    if not 1 <= len(team) <= 2 or len({name.lower() for name in team}) < len(team):
        reasons.append(f"a team has one or two different members, not {', '.join(team) or 'none'}")
    if reasons:
        raise Refused(reasons)
    return "_".join(team)


def notebook_fault(name, root):
    """Why a notebook may not be submitted, in one line; None where it may."""
    if not (root / f"{name}.ipynb").exists():
        return f"{name}.ipynb is missing: make full NOTEBOOKS={name}"
    if not source_of(name, root).exists():
        return (
            f"{name}.ipynb has no source, so nobody can say whether it is fresh: "
            f"notebooks/{name}.py is missing"
        )
    problems = nb.check(name, root)
    more = (
        f" (and {len(problems) - 1} more: python tools/nb.py check {name})" if problems[1:] else ""
    )
    return f"{name}.ipynb: {problems[0]}{more}" if problems else None


def find_pdf(kind, root):
    """The typeset Part V, or V.I alone for the checkpoint; Refused where it is missing or not of
    today's source.
    """
    name = "a1_part_5.pdf" if kind == "final" else "a1_part_5_checkpoint.pdf"
    path = root / "part_v" / name
    if not path.exists():
        raise Refused([f"{name} is missing: make pdf"])
    if not rubric.is_from(path, root / "part_v" / "a1_part_5.tex"):
        raise Refused([f"{name} is not built from part_v/a1_part_5.tex as it is now: make pdf"])
    return path


def text_file(title, url, lines):
    return "\n".join([title, url or NO_LINK, "", *lines, ""]).encode()


def weights_to_upload(names, team, root):
    """{submission name: entry of weights/MANIFEST.json, with its "file"} for the notebooks `names`.

    A part's best weights on validation data carry the part's name alone, others their model's name,
    too.
    """
    path = root / "weights" / "MANIFEST.json"
    manifest = json.loads(path.read_text()) if path.exists() else {}
    upload = {}
    for name in names:
        prefix = name.replace("a1_part_", "a1_part")
        entries = [
            {"file": file, **entry}
            for file, entry in manifest.items()
            if re.fullmatch(rf"{prefix}(_\w+)?\.pt", file)
        ]

        def score(entry):
            return entry["metrics"].get("val_acc", entry["metrics"].get("val_r2", 0))

        for rank, entry in enumerate(sorted(entries, key=score, reverse=True)):
            stem = prefix if rank == 0 else Path(entry["file"]).stem
            upload[f"{stem}_{team}.pt"] = entry
    return upload


def copy_weights(upload, root, folder):
    """Copy the weights under their submission names; warnings about those that are not here."""
    warnings = []
    for name, entry in upload.items():
        path = root / "weights" / entry["file"]
        if not path.exists():
            warnings.append(
                f"weights/{entry['file']} is not here, so {name} is not copied: {entry['command']}"
            )
            continue
        with open(path, "rb") as source, atomic_write(folder / name) as file:
            shutil.copyfileobj(source, file)
    return warnings


def check_weights(upload, root):
    """Lines on weights that are here but are not those of the manifest."""
    paths = {entry["file"]: root / "weights" / entry["file"] for entry in upload.values()}
    wanted = {entry["file"]: entry["sha256"] for entry in upload.values()}
    return [
        f"weights/{name} does not match weights/MANIFEST.json: restore it"
        for name, path in paths.items()
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() != wanted[name]
    ]


def url_warnings(option, url):
    """What is wrong with the address of a shared folder, as a list of at most one line."""
    if not url:
        return [f"no --{option}: the text file says that the link is still to be added"]
    if not re.match(r"https?://[^/\s]+", url):
        return [f"--{option} {url} is no web address"]
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "Mozilla/5.0"})
        urllib.request.urlopen(request, timeout=10).close()
    except (OSError, ValueError) as error:  # URLError and HTTPError are OSErrors
        return [f"--{option} {url} cannot be opened: {error}"]
    return []


def collect(kind, team, weights_url, datasets_url, root):
    """Contents of the zip {name: bytes}, weights to upload, warnings; Refused where something must
    not go out.
    """
    suffix = team_suffix(team)
    parts = [
        part for part in rubric.check(root) if kind == "final" or part.part["part"] in CHECKPOINT
    ]
    notebooks = [part.path.stem for part in parts if part.path.suffix == ".ipynb"]
    absent = [
        name
        for name in notebooks
        if name.startswith("a1_bonus") and not (root / f"{name}.ipynb").exists()
    ]
    notebooks = [name for name in notebooks if name not in absent]
    warnings = [f"{name}.ipynb does not exist: a bonus that is not submitted" for name in absent]
    reasons = [fault for name in notebooks if (fault := notebook_fault(name, root))]
    upload = weights_to_upload(notebooks, suffix, root)
    reasons += check_weights(upload, root)

    data = {name: read_results(root / "results", name).get("data", "?") for name in notebooks}
    lines = [
        f"{name}  {entry['bytes']:,} bytes  SHA-256 {entry['sha256']}"
        for name, entry in upload.items()
    ]
    files = {
        f"a1_weights_{suffix}.txt": text_file(
            "Weights of the trained networks:", weights_url, lines
        ),
        f"a1_datasets_{suffix}.txt": text_file(
            "Data sets (the course's own CNN data set is not uploaded again):",
            datasets_url,
            [f"{name}: {text}" for name, text in data.items()],
        ),
    }
    for name in notebooks:
        if (root / f"{name}.ipynb").exists():
            files[f"{name}_{suffix}.ipynb"] = (root / f"{name}.ipynb").read_bytes()
    try:
        files[f"a1_part_5_{suffix}.pdf"] = find_pdf(kind, root).read_bytes()
    except Refused as error:
        reasons.append(str(error))
    reasons += [
        f"{name}: {len(content) / 1e6:.1f} MB, over the assignment's 10 MB"
        for name, content in files.items()
        if len(content) > MAX_BYTES
    ]
    if reasons:
        raise Refused(reasons)
    gaps = sum(len(part.problems()) for part in parts if part.exists)
    if gaps:
        warnings.append(f"{gaps} gaps in what the assignment asks for: python tools/rubric.py")
    warnings += url_warnings("weights-url", weights_url)
    if kind == "final" or datasets_url:  # Parts I and II use the course's own data
        warnings += url_warnings("datasets-url", datasets_url)
    return files, upload, warnings


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
                nbformat.validate(nbformat.reads(content.decode(), as_version=4))
            except Exception as error:  # nbformat raises errors of many kinds
                problems.append(f"{path.name}: {name} is no notebook: {error}")
    return problems


def pack(kind, team, weights_url=None, datasets_url=None, root=ROOT, folder=None):
    """Write the zip and copy the weights beside it: (path of the zip, its names, names of weights,
    warnings).

    `kind` is "checkpoint" or "final", `team` one or two names. Raises Refused, and then writes
    nothing.
    """
    root = Path(root)
    folder = Path(folder or root / "out" / "submission")
    files, upload, warnings = collect(kind, team, weights_url, datasets_url, root)
    path = folder / f"assignment1_{kind}_{'_'.join(team)}.zip"
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(name, files[name])
    problems = verify(path, files)
    size = path.stat().st_size
    if size > MAX_BYTES:
        sizes = sorted(((len(content), name) for name, content in files.items()), reverse=True)
        largest = ", ".join(f"{name} {length / 1e6:.1f} MB" for length, name in sizes[:3])
        problems.append(
            f"{path.name}: {size / 1e6:.1f} MB, over the assignment's 10 MB; largest unzipped: {largest}"
        )
    if problems:
        path.unlink()
        raise Refused(problems)
    return path, sorted(files), sorted(upload), warnings + copy_weights(upload, root, folder)


def main(arguments=None, root=ROOT):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["checkpoint", "final"])
    parser.add_argument(
        "--team", nargs="+", required=True, metavar="NAME", help="one or two members"
    )
    parser.add_argument("--weights-url", metavar="URL", help="shared folder with the weights")
    parser.add_argument("--datasets-url", metavar="URL", help="shared folder with the data sets")
    parser.add_argument("--to", metavar="FOLDER", help="default: out/submission")
    options = parser.parse_args(arguments)
    try:
        path, names, weights, warnings = pack(
            options.kind, options.team, options.weights_url, options.datasets_url, root, options.to
        )
    except Refused as error:
        sys.exit("\n".join(f"refused: {line}" for line in str(error).splitlines()))
    print(*(f"warning: {warning}" for warning in warnings), sep="\n", file=sys.stderr)
    print(f"{path}, opened again and verified:", *(f"  {name}" for name in names), sep="\n")
    print(
        "to upload:", *(f"  {name}" for name in weights if (path.parent / name).exists()), sep="\n"
    )
    print(PDF_NAME)


if __name__ == "__main__":
    main()
