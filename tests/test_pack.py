"""The packer: the names that the assignment asks for, what it refuses, and the zip opened again."""

import base64
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import nbformat
import pytest
from graded import (
    RESULTS,
    SOURCE,
    TEX,
    cell_with,
    edit,
    execute,
    pdf,
    read,
    write,
    write_project,
)

from tools import handin, nb, pack, rubric
from tools.assemble import stamp_executed

ROOT = Path(__file__).resolve().parent.parent
SMALL = SOURCE.replace("a1_part_2.ipynb", "a1_part_1.ipynb")
MARKED = re.compile(r" *<a id=.*?</a>")
LINKED = re.compile(r"\[([^\]]*)\]\(#[^)]*\)")


def add_notebook(root, name):
    text = LINKED.sub(r"\1", MARKED.sub("", SMALL)).replace("circle.pt", "square.pt")
    write(root / f"notebooks/{name}.py", text)
    write(root / f"results/{name}.json", json.dumps(RESULTS | {"data": f"data of {name}"}))
    execute(root, name)


@pytest.fixture
def project(tmp_path):
    """Parts I and II executed, Part V typeset whole and for the checkpoint."""
    root = write_project(tmp_path)
    add_notebook(root, "a1_part_2")
    edit(root / "rubric.yml", "  - {id: II.1, ", "  # - {id: II.1, ")
    edit(
        root / "rubric.yml",
        "rules:",
        "  - {part: BX, points: 7, notebook: a1_bonus_resnext, title: Bonus}\nrules:",
    )
    write(root / "part_v/a1_part_5_checkpoint.pdf", pdf(TEX.lstrip("\n"), titles=("V.I Numbers",)))
    return root


@pytest.fixture
def server():
    """An address that answers, on this machine."""
    handler = type(
        "Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *args: None}
    )
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def change(root, text, spoil, name="a1_part_1"):
    notebook = read(root, name)
    spoil(cell_with(notebook, text))
    nb.write_notebook(notebook, root / f"{name}.ipynb")


def refusal(root, kind="final", team=("alice", "bob"), **options):
    options = {"to": root / "refused"} | options
    with pytest.raises(pack.Refused) as error:
        pack.pack(kind, list(team), root=root, **options)
    assert not list(options["to"].glob("*.zip")), "a refused submission leaves no zip"
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("kind", "team", "suffix"),
    [("final", ["alice", "bob"], "alice_bob"), ("checkpoint", ["alice"], "alice")],
)
def test_the_zip_holds_exactly_the_names_of_the_handout(project, kind, team, suffix):
    path, found = pack.pack(kind, team, root=project)
    assert path == project / f"out/submission/assignment1_{kind}_{suffix}.zip"
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == sorted(found.files) == [
            f"a1_datasets_{suffix}.txt",
            f"a1_part_1_{suffix}.ipynb",
            f"a1_part_2_{suffix}.ipynb",
            f"a1_part_5_{suffix}.pdf",
            f"a1_weights_{suffix}.txt",
        ]  # fmt: skip
        assert (
            archive.read(f"a1_part_1_{suffix}.ipynb") == (project / "a1_part_1.ipynb").read_bytes()
        )
        typeset = "part_v/a1_part_5.pdf" if kind == "final" else "part_v/a1_part_5_checkpoint.pdf"
        assert archive.read(f"a1_part_5_{suffix}.pdf") == (project / typeset).read_bytes()
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}
    assert [*found.upload] == [f"a1_part1_{suffix}.pt"]
    assert (path.parent / "upload" / f"a1_part1_{suffix}.pt").read_bytes() == b"circle"


def test_the_bonus_is_packed_where_it_exists(project):
    _, found = pack.pack("final", ["alice"], root=project)
    assert "a1_bonus_resnext.ipynb does not exist: a bonus that is not submitted" in found.warnings
    add_notebook(project, "a1_bonus_resnext")
    for kind in ("final", "checkpoint"):
        _, found = pack.pack(kind, ["alice"], root=project)
        assert ("a1_bonus_resnext_alice.ipynb" in found.files) == (kind == "final")
        assert not any("bonus" in line for line in found.warnings)


def test_a_parts_best_weights_take_its_name_and_only_what_exists_is_listed(project):
    path = project / "weights/MANIFEST.json"
    manifest = json.loads(path.read_text())
    better = manifest["a1_part1_circle.pt"] | {"metrics": {"val_acc": 0.95}}
    manifest |= {"a1_part1_ring.pt": better, "a1_part2_ring.pt": better, "a1_part3_ring.pt": better}
    path.write_text(json.dumps(manifest))
    write(project / "weights/a1_part2_ring.pt", b"circle")
    path, found = pack.pack("checkpoint", ["alice"], root=project)
    assert [*found.upload] == ["a1_part1_alice.pt", "a1_part2_alice.pt"]
    [missing] = [line for line in found.warnings if "ring.pt" in line]
    assert missing.startswith("a1_part_1: a1_part1_ring.pt not in weights/")
    assert missing.endswith(": make it")
    text = found.files["a1_weights_alice.txt"].decode()
    assert better["sha256"] in text and text.count(".pt") == 2 and "a1_part1_ring" not in text
    write(project / "weights/a1_part1_ring.pt", b"circle")
    _, found = pack.pack("checkpoint", ["alice"], root=project)
    assert found.upload["a1_part1_alice.pt"].name == "a1_part1_ring.pt", "the best on validation"
    assert found.upload["a1_part1_circle_alice.pt"].name == "a1_part1_circle.pt"


def test_links_stand_in_the_text_files(project, server):
    _, found = pack.pack("final", ["alice"], server, server + "/?data", project)
    assert not any("url" in warning for warning in found.warnings)
    assert server in found.files["a1_weights_alice.txt"].decode().splitlines()
    datasets = found.files["a1_datasets_alice.txt"].decode().splitlines()
    assert server + "/?data" in datasets
    assert "a1_part_2, reported run: data of a1_part_2" in datasets
    assert "a1_part_1: the course's CNN data set, which is not uploaded again" in datasets
    _, found = pack.pack("final", ["alice"], server, None, project)
    assert server in found.files["a1_datasets_alice.txt"].decode().splitlines(), "one for both"


def test_a_missing_or_unreachable_address_is_a_warning_and_what_is_none_is_refused(project, server):
    _, found = pack.pack("final", ["alice"], None, server + "/nothing-here", project)
    assert (
        "no --weights-url: the text file says that the link is still to be added" in found.warnings
    )
    assert any("nothing-here cannot be opened from here: HTTP" in line for line in found.warnings)
    _, found = pack.pack("final", ["alice"], "http://127.0.0.1:9", None, project)
    assert any(
        line.startswith("--weights-url http://127.0.0.1:9 cannot be opened")
        for line in found.warnings
    )
    for address in ("http://127.0.0.1:x/", "https://[x"):
        _, found = pack.pack("final", ["alice"], address, None, project)
        assert any(f"{address} cannot be opened from here" in line for line in found.warnings)
    for address in ("box.com/x", "my folder", "https://"):
        (line,) = refusal(project, weights_url=address)
        assert (
            line == f"--weights-url {address} is no web address: copy the whole link, with https://"
        )


def test_the_data_that_the_assignment_wants_are_laid_out(project, monkeypatch):
    edit(
        project / "rubric.yml",
        "rules:",
        "  - {part: III, points: 1, notebook: a1_part_3, title: Power}\nrules:",
    )
    add_notebook(project, "a1_part_3")
    _, found = pack.pack("final", ["alice"], root=project)
    hint = "household_power_consumption.txt is not here, so it is not laid out for upload: "
    assert hint + "make data NAMES=power" in found.warnings
    assert f"a1_part_3: Individual Household Electric Power Consumption, UCI: {pack.POWER}" in (
        found.files["a1_datasets_alice.txt"].decode().splitlines()
    )
    write(project / "elsewhere/household_power_consumption.txt", b"Date;Time\n")
    monkeypatch.setenv("A1_DATA", f"'{project / 'elsewhere'}'")  # as %env keeps quotes
    path, found = pack.pack("final", ["alice"], root=project)
    assert (path.parent / "upload/household_power_consumption.txt").read_bytes() == b"Date;Time\n"
    assert "a1_part_3: household_power_consumption.txt in the shared folder, 0.0 MB" in (
        found.files["a1_datasets_alice.txt"].decode().splitlines()
    )


@pytest.mark.parametrize("place", ["downloads", "downloads/data", "data"])
def test_both_tables_of_part_iv_are_laid_out(place, project, own):
    edit(
        project / "rubric.yml",
        "rules:",
        "  - {part: IV, points: 1, notebook: a1_part_4, title: T}\nrules:",
    )
    add_notebook(project, "a1_part_4")
    shutil.copy(project / "a1_part_4.ipynb", own)
    for name in ("Tweets.csv", "other_tweets.csv"):
        write(project / place / name, f"{name} of {place}")
    path, _ = pack.pack("final", ["alice"], root=project, folder=own)
    for name in ("Tweets.csv", "other_tweets.csv"):
        assert (path.parent / "upload" / name).read_text() == f"{name} of {place}"


def test_a_place_of_data_that_does_not_exist_is_refused(project, monkeypatch):
    monkeypatch.setenv("A1_DATA", "nowhere")
    assert refusal(project) == ["A1_DATA names nowhere, which does not exist: correct or unset it"]


def test_every_chart_here_is_drawn_by_its_notebook():
    """Else pack would hand in a chart of an older version."""
    for path in (ROOT / "figures").glob("*.svg"):
        [name] = [name for name in pack.DATA if path.stem.startswith(name)]
        assert f'"{path.name}"' in (ROOT / "notebooks" / f"{name}.py").read_text()


def test_every_svg_has_a_png_beside_it():
    """A JupyterLab that does not trust the notebook shows no SVG."""
    for path in ROOT.glob("a1_*.ipynb"):
        outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
        shown = [output.data for output in outputs if "image/svg+xml" in output.get("data", {})]
        assert all("image/png" in data for data in shown), path.name


def test_charts_of_packed_notebooks_go_into_the_zip(project):
    for name in ("a1_part_1_net_tensorboard", "a1_part_4_net_tensorboard"):
        write(project / f"figures/{name}.svg", "<svg/>")
    _, found = pack.pack("final", ["alice"], root=project)
    charts = [name for name in found.files if name.endswith(".svg")]
    assert charts == ["a1_part_1_net_tensorboard_alice.svg"]


def unexecuted(cell):
    cell.execution_count = None


def with_error(cell):
    cell.outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="bad", traceback=[])]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(unexecuted, "not executed"), (with_error, "ends in an error, ValueError: bad")],
)
def test_an_unexecuted_or_failed_notebook_is_refused_in_one_line(project, spoil, message):
    change(project, "measure()", spoil)
    line, way = refusal(project)
    assert line.startswith("a1_part_1.ipynb: ") and message in line
    assert line.endswith(". To renew it: make full NOTEBOOKS=a1_part_1")
    assert f"`{pack.shown_python()} tools/pack.py final --team alice bob --from .`" in way
    *_, way = refusal(project, without=["a1_part_2"])
    assert "--team alice bob --without a1_part_2 --from .`" in way


def test_a_stale_notebook_is_refused(project):
    edit(project / "notebooks/a1_part_2.py", "measure()", "measure(2)")
    line, _ = refusal(project)
    assert line.startswith("a1_part_2.ipynb: cell ")
    assert "its code differs from what its source builds" in line
    assert line.endswith(". To renew it: make full NOTEBOOKS=a1_part_2")
    edit(project / "notebooks/a1_part_2.py", "measure(2)", "measure()")
    edit(project / "results/a1_part_2.json", "0.9876", "0.5")
    assert "source and results say" in refusal(project)[0]


def test_a_notebook_over_10_mb_is_refused(project):
    change(
        project,
        "measure()",
        lambda cell: cell.outputs[0].data.update({"text/plain": "9" * 10_100_000}),
    )
    assert any(
        line.startswith(
            "a1_part_1_alice_bob.ipynb: 10.1 MB, over the assignment's 10 MB: print less"
        )
        for line in refusal(project)
    )


@pytest.mark.parametrize("file", ["part_v/a1_part_5.pdf", "figures/a1_part_1_net.svg"])
def test_another_file_over_10_mb_is_refused(file, project, monkeypatch):
    write(project / file, b"%PDF-1.5 <svg/>" + os.urandom(10_100_000))
    monkeypatch.setattr(rubric, "is_from", lambda *_: True)
    name = f"{Path(file).stem}_alice_bob{Path(file).suffix}: 10.1 MB, over the assignment's 10 MB: "
    assert name + "compress it, or put it into the shared folder" in refusal(project)


def test_a_zip_over_the_limit_of_smaller_parts_is_a_warning(project, monkeypatch):
    monkeypatch.setattr(pack, "MAX_BYTES", 1_000_000)
    noise = base64.b64encode(os.urandom(700_000)).decode()
    for name in ("a1_part_1", "a1_part_2"):
        notebook = read(project, name)
        cell_with(notebook, "measure()").outputs[0].data["text/plain"] = noise
        stamp_executed(notebook, 1)
        nb.write_notebook(notebook, project / f"{name}.ipynb")
    _, found = pack.pack("final", ["alice"], root=project)
    [line] = [line for line in found.warnings if "the zip" in line]
    assert re.match(r"the zip has 1\.\d MB; the assignment limits single files", line)


def test_missing_parts_are_refused_each_in_a_line(project):
    (project / "a1_part_1.ipynb").unlink()
    (project / "notebooks/a1_part_2.py").unlink()
    (project / "part_v/a1_part_5.pdf").unlink()
    lines = refusal(project)
    assert lines[0] == "a1_part_1.ipynb is missing: make full NOTEBOOKS=a1_part_1"
    assert "git checkout notebooks/a1_part_2.py" in lines[1] and "--from ." in lines[2]
    assert lines[3:] == [
        'a1_part_5.pdf is missing: make pdf TEAM="alice bob", or leave it out: --without a1_part_5'
    ]


def test_a_pdf_of_an_older_source_is_refused(project):
    edit(project / "part_v/a1_part_5.tex", "28", "27")
    for kind, name in (("final", "a1_part_5.pdf"), ("checkpoint", "a1_part_5_checkpoint.pdf")):
        assert refusal(project, kind) == [
            f'{name} is not built from part_v/a1_part_5.tex as it is now: make pdf TEAM="alice bob"'
        ]


def test_damaged_weights_are_refused(project):
    write(project / "weights/a1_part1_circle.pt", b"square")
    assert refusal(project) == [
        "weights/a1_part1_circle.pt does not match weights/MANIFEST.json: "
        "git checkout weights/a1_part1_circle.pt"
    ]


@pytest.mark.parametrize(
    "name", ["", "a/b", "../a", "a b", ".a", "a_b", "añb", "a:b", "-a", "a.zip", "a\n"]
)
def test_a_name_that_cannot_stand_in_a_file_name_is_refused(project, name):
    (line,) = refusal(project, team=["alice", name])
    assert line.startswith(f"the team name {name!r} cannot stand in a file's name")


@pytest.mark.parametrize("team", [[], ["alice", "bob", "carol"], ["alice", "Alice"]])
def test_a_team_has_one_or_two_members(project, team):
    (line,) = refusal(project, team=team)
    assert line.startswith("a team has one or two different members, not ")


def test_gaps_in_the_rubric_are_a_warning(project):
    _, found = pack.pack("checkpoint", ["alice"], root=project)
    assert not any("gap" in line for line in found.warnings) and not rubric.problems(root=project)
    edit(project / "rubric.yml", "needs: [svg]", "needs: [svg, table]")
    _, found = pack.pack("checkpoint", ["alice"], root=project)
    assert any(line.startswith("1 gap in what the assignment asks for") for line in found.warnings)


def test_the_finished_zip_is_opened_again(project, tmp_path):
    path = tmp_path / "x.zip"
    files = {
        "a.pdf": b"%PDF-1.5 a long enough text",
        "b.ipynb": (project / "a1_part_1.ipynb").read_bytes(),
    }

    def zipped(**changes):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (files | changes).items():
                archive.writestr(name, content)
        return path

    assert pack.verify(zipped(), files) == []
    assert pack.verify(zipped(**{"c.txt": b""}), files)[0].startswith(
        "x.zip holds a.pdf, b.ipynb, c.txt, not"
    )
    assert pack.verify(zipped(**{"a.pdf": b"%PDF-"}), files) == [
        "x.zip: a.pdf is not the file that was packed"
    ]
    for name, content in (("a.pdf", b"text"), ("b.ipynb", b"{}")):
        assert "is no " in pack.verify(zipped(**{name: content}), files | {name: content})[0]
    content = zipped().read_bytes()
    path.write_bytes(content.replace(b"a long enough", b"a lOng enough"))
    assert pack.verify(path, files) == ["x.zip: a.pdf is damaged"]
    path.write_bytes(content[:-30])
    assert pack.verify(path, files)[0].startswith("x.zip cannot be opened")


def test_a_zip_that_does_not_verify_is_removed(project, monkeypatch):
    monkeypatch.setattr(pack, "verify", lambda path, files: ["it is wrong"])
    assert refusal(project) == ["it is wrong"]


def test_the_command_says_what_it_did_or_why_not(project, capsys):
    url = "http://127.0.0.1:9"
    pack.main(["final", "--team", "alice", "bob", "--weights-url", url], project)
    printed = capsys.readouterr()
    assert f"warning: --weights-url {url} cannot be opened" in printed.err
    assert "opened again and verified" in printed.out and pack.PDF_NAME in printed.out
    assert "  a1_part1_alice_bob.pt" in printed.out.splitlines()
    with pytest.raises(SystemExit) as stop:
        pack.main(["final", "--team", "a/b"], project)
    assert str(stop.value).startswith("refused: the team name 'a/b'")


# ------------------------------------------------------------------ a team's own notebooks


@pytest.fixture
def own(project, tmp_path):
    """A folder with what a team saved: Part I with another network, under the names of downloads."""
    folder = tmp_path / "downloads"
    notebook = read(project, "a1_part_1")
    cell_with(notebook, "measure()").source = "measure()  # ours"
    cell_with(notebook, "measure()").outputs[0].data = {
        "text/plain": "accuracy  0.9123\nloss  0.0123"
    }
    write(folder / "Copy of a1_part_1.ipynb", nbformat.writes(notebook))
    write(folder / "a1_part_2_alice_bob (1).ipynb", (project / "a1_part_2.ipynb").read_bytes())
    write(folder / "a1_part_5.pdf", b"%PDF-1.5 by hand")
    return folder


def change_own(folder, spoil):
    path = folder / "Copy of a1_part_1.ipynb"
    notebook = nbformat.read(path, 4)
    spoil(notebook)
    nbformat.write(notebook, path)


def test_changed_and_rerun_notebooks_are_packed_as_they_are(project, own):
    path, found = pack.pack("final", ["alice", "bob"], root=project, folder=own)
    with zipfile.ZipFile(path) as archive:
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}
        content = archive.read("a1_part_1_alice_bob.ipynb")
        assert content == (own / "Copy of a1_part_1.ipynb").read_bytes()
        assert archive.read("a1_part_5_alice_bob.pdf") == b"%PDF-1.5 by hand"
        assert "a1_part_2_alice_bob.ipynb" in archive.namelist()


def test_sentences_whose_numbers_no_output_shows_are_listed(project, own):
    path, found = pack.pack("final", ["alice", "bob"], root=project, folder=own)
    text = (path.parent / pack.TO_CHECK).read_text()
    for sentence in ("All but 1.2%", "The area is 98.8%", "98.8% close upon"):
        assert sentence in text, "ours, above their network's 91.2%"
    assert "Figure" not in text and "accuracy of 0.012" not in text, "their loss is the same"
    assert any("Copy of a1_part_1.ipynb: 3 sentences say numbers" in w for w in found.warnings)

    def rewrite(notebook, changes):
        for cell in notebook.cells:
            for old, new in changes.items() if cell.cell_type == "markdown" else ():
                cell.source = cell.source.replace(old, new)

    change_own(own, lambda notebook: rewrite(notebook, {"98.8%": "91.2%", "All but 1.2%": "Most"}))
    path, found = pack.pack("final", ["alice", "bob"], root=project, folder=own)
    assert not (path.parent / pack.TO_CHECK).exists() and not found.unshown

    change_own(own, lambda notebook: rewrite(notebook, {"Most": "All but 1.2%"}))
    path, found = pack.pack("final", ["alice", "bob"], root=project, folder=own)
    assert any("1 sentence says numbers that stand in none" in w for w in found.warnings)


def test_the_projects_own_notebook_says_nothing_that_it_does_not_show(project, own):
    write(own / "Copy of a1_part_1.ipynb", (project / "a1_part_1.ipynb").read_bytes())
    _, found = pack.pack("final", ["alice"], root=project, folder=own)
    (line,) = [line for line in found.warnings if "part_1.ipynb" in line]
    published = "it is this project's notebook as published: yours may be elsewhere"
    assert not found.unshown and line == f"Copy of a1_part_1.ipynb: {published}"


def test_a_changed_notebook_is_not_taken_for_the_published_one(project, own):
    _, found = pack.pack("final", ["alice"], root=project, folder=own)
    assert not any("part_1" in line and "as published" in line for line in found.warnings)


def test_part_1_says_no_number_that_its_outputs_do_not_show():
    cells = nbformat.read(ROOT / "a1_part_1.ipynb", 4).cells
    assert handin.unshown("a1_part_1", cells, ROOT) == []
    assert len(handin.citations_of("a1_part_1", ROOT)) > 50, "its sentences are known"
    for cell in cells:
        for output in cell.get("outputs", []):
            texts = output if "text" in output else output.get("data", {})
            for kind in [kind for kind in texts if kind.startswith("text")]:
                texts[kind] = texts[kind].replace("0.9689", "0.9412")
    wrong = [
        text for _, numbers, text in handin.unshown("a1_part_1", cells, ROOT) if "96.9%" in numbers
    ]
    assert any(text.startswith("ResNet-18 tells dogs, food and vehicles") for text in wrong)
    assert any(text.startswith("| ResNet-18 |") for text in wrong), "the headline table, too"


def out_of_order(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    cells[1].execution_count = 9


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (out_of_order, "was run as number 9, not 2: not in order: run it from the top"),
        (lambda nb: unexecuted(cell_with(nb, "measure()")), "is not executed: run it from the top"),
        (lambda nb: with_error(cell_with(nb, "measure()")), "ends in ValueError: bad: mend it"),
    ],
)
def test_what_cannot_be_handed_in_says_how_to_mend_it(project, own, spoil, message):
    change_own(own, spoil)
    line, how = refusal(project, folder=own)
    assert line.startswith("Copy of a1_part_1.ipynb: cell ") and message in line
    assert line.endswith("run it from the top, and save it")
    assert "Restart Kernel and Run All Cells" in how, "said once"


def test_an_empty_code_cell_is_never_executed_and_that_is_fine(project, own):
    change_own(own, lambda nb: nb.cells.append(nbformat.v4.new_code_cell("  ")))
    pack.pack("final", ["alice"], root=project, folder=own)


def test_a_notebook_over_10_mb_says_which_cell_and_what_to_do(project, own):
    def grow(notebook):
        cell_with(notebook, "measure()").outputs[0].data["text/plain"] = "9" * 10_100_000

    change_own(own, grow)
    line, _ = refusal(project, folder=own)
    assert re.search(r"10\.1 MB, over .* 10 MB \(outputs: cell \d+ 10\.1 MB.*lower dpi", line)


def test_a_missing_or_doubtful_file_is_named_with_the_way_out(project, own):
    shutil.copy(own / "Copy of a1_part_1.ipynb", own / "a1_part_1.ipynb")
    (own / "a1_part_2_alice_bob (1).ipynb").unlink()
    first, second = refusal(project, folder=own)
    assert "Copy of a1_part_1.ipynb, a1_part_1.ipynb may all be it: leave one of them" in first
    assert second.startswith("a1_part_2.ipynb is not in ") and "--without a1_part_2" in second
    (own / "a1_part_1.ipynb").unlink()
    _, found = pack.pack("final", ["alice"], root=project, folder=own, without=["a1_part_2"])
    assert "a1_part_2_alice.ipynb" not in found.files
    write(own / "Copy of a1_part_1.ipynb", b"<html>")
    (line,) = refusal(project, folder=own, without=["a1_part_2"])
    assert "it is no notebook" in line and "download it again" in line


@pytest.mark.parametrize("name", ["part4", "a1_part_6", "IV"])
def test_a_part_that_does_not_exist_cannot_be_left_out(name, project):
    (line,) = refusal(project, without=[name])
    assert (
        line == f"--without {name}: name one of a1_part_1, a1_part_2, a1_part_5, a1_bonus_resnext"
    )


def test_a_submission_of_nothing_is_refused(project):
    parts = ["a1_part_1", "a1_part_2", "a1_part_5"]
    (line,) = refusal(project, "checkpoint", without=parts)
    assert line == f"--without {' '.join(parts)} leaves nothing to submit: name fewer"


@pytest.mark.parametrize("copy", [" - Copy", " - Copy (2)", " copy", " copy 2", "-Copy1", " (1)"])
def test_a_copys_name_is_understood(copy, own):
    path = own / f"a1_part_2{copy}.ipynb"
    (own / "a1_part_2_alice_bob (1).ipynb").rename(path)
    write(own / f"a1_part_2{copy}s.ipynb", "{}")
    assert handin.find("a1_part_2", own) == [path]


def test_an_unset_variable_is_no_folder(project):
    (line,) = refusal(project, folder="")
    assert line == "--from is empty: name the folder that holds your notebooks"


def test_what_an_earlier_packing_laid_out_does_not_stay(project, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path, _ = pack.pack("final", ["alice", "bob"], root=project, to="~/packed")
    assert path.parent == tmp_path / "packed", "~ is the home folder"
    before = {file.name for file in (path.parent / "upload").iterdir()}
    (path.parent / "upload" / "a1_part3_alice_bob.pt").write_bytes(b"of another packing")
    pack.pack("final", ["alice", "bob"], root=project, to="~/packed")
    assert {file.name for file in (path.parent / "upload").iterdir()} == before


def test_a_file_is_no_folder_to_write_to(project, tmp_path):
    write(tmp_path / "taken", "")
    with pytest.raises(pack.Refused, match="taken is a file: name a folder"):
        pack.pack("final", ["alice"], root=project, to=tmp_path / "taken")


def test_a_folder_that_does_not_exist_is_refused(project):
    (line,) = refusal(project, folder="nowhere")
    assert line == "--from nowhere is no folder: name the one that holds your notebooks"


def test_items_without_heading_figure_or_table_are_a_warning(project, own):
    def forget(notebook):
        for cell in notebook.cells:
            cell.source = cell.source.replace("## 1. Measuring", "## Measuring")
            cell.source = cell.source.replace(' <a id="i-1"></a>', "")
        cell_with(notebook, "draw_svg()").outputs = []

    change_own(own, forget)
    _, found = pack.pack("final", ["alice"], root=project, folder=own)
    lines = [line for line in found.warnings if line.startswith("Copy of a1_part_1.ipynb")]
    assert any(
        'no heading for 1: "Measure circles' in line and '<a id="i-1">' in line for line in lines
    )
    assert any("I.2b: no svg" in line for line in lines)


def test_a_heading_that_shows_the_number_needs_no_anchor(project, own):
    def forget(notebook):
        for cell in notebook.cells:
            cell.source = cell.source.replace(' <a id="i-1"></a>', "")

    change_own(own, forget)
    _, found = pack.pack("final", ["alice"], root=project, folder=own)
    assert not any("no heading" in line for line in found.warnings)


def test_a_rehearsal_or_drawn_data_is_a_warning(project, own):
    def rehearse(notebook):
        text = "Quick rehearsal: its numbers mean nothing.\nDrawn stand-in data, no photos"
        cell_with(notebook, "save_weights(").outputs = [nbformat.v4.new_output("stream", text=text)]

    change_own(own, rehearse)
    _, found = pack.pack("final", ["alice"], root=project, folder=own)
    assert any(
        "quick rehearsal" in line and "%env A1_PROFILE=full" in line for line in found.warnings
    )
    assert any("drawn stand-in data" in line for line in found.warnings)


def test_the_projects_pdf_is_not_packed_in_silence(project, own):
    (own / "a1_part_5.pdf").unlink()
    _, found = pack.pack("final", ["alice"], root=project, folder=own)
    line = f"no a1_part_5.pdf in {own}, so this project's own is packed: put yours there, or "
    assert line + "leave it out: --without a1_part_5" in found.warnings
    _, found = pack.pack("final", ["alice"], root=project, folder=own, without=["a1_part_5"])
    assert not any(name.endswith(".pdf") for name in found.files)


def test_of_several_pdfs_the_one_that_is_meant_is_taken(project, own):
    write(own / "a1_part_5_checkpoint.pdf", b"%PDF-1.5 of V.I")
    for kind, content in (("final", b"%PDF-1.5 by hand"), ("checkpoint", b"%PDF-1.5 of V.I")):
        _, found = pack.pack(kind, ["alice"], root=project, folder=own)
        assert found.files["a1_part_5_alice.pdf"] == content
    write(own / "a1_part_5 (1).pdf", b"%PDF-1.5 by hand, again")
    (line,) = refusal(project, folder=own)
    assert line.startswith("a1_part_5: a1_part_5 (1).pdf, a1_part_5.pdf may all be it: leave one")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 of Word", b"<html>"])
def test_a_pdf_that_is_none_is_refused_by_its_own_name(content, project, own):
    write(own / "a1_part_5 (1).pdf", content)
    (own / "a1_part_5.pdf").unlink()
    (line,) = refusal(project, folder=own)
    assert line == "a1_part_5 (1).pdf is no PDF: export it again"


def test_a_notebook_with_ids_of_a_later_format_is_taken(project, own):
    path = own / "Copy of a1_part_1.ipynb"
    path.write_text(path.read_text().replace('"nbformat_minor": 5', '"nbformat_minor": 4'))
    _, found = pack.pack("final", ["alice"], root=project, folder=own)
    assert "a1_part_1_alice.ipynb" in found.files


def test_folders_named_like_files_are_passed_over(project, own):
    for name in ("a1_part_1 (1).ipynb", "a1_part_5 (1).pdf"):
        (own / name).mkdir()
    _, found = pack.pack("final", ["alice"], root=project, folder=own)
    assert "a1_part_1_alice.ipynb" in found.files


def test_own_weights_charts_and_texts_are_taken(project, own):
    missing = "a1_part_1: a1_part1_circle.pt not in "
    _, found = pack.pack("final", ["alice"], root=project, folder=own)
    assert any(line.startswith(missing) for line in found.warnings) and not found.upload
    assert any(line.startswith("a1_part_1: no chart as SVG") for line in found.warnings)
    write(own / "weights/a1_part1_circle.pt", b"our circle")
    write(own / "figures/a1_part_1_ours.svg", "<svg/>")
    write(own / "a1_datasets.txt", "our own list")
    _, found = pack.pack("final", ["alice"], root=project, folder=own)
    assert not any(line.startswith((missing, "a1_part_1: no chart")) for line in found.warnings)
    assert [*found.upload] == ["a1_part1_alice.pt"]
    assert found.files["a1_datasets_alice.txt"] == b"our own list"
    options = {"weights_url": "http://127.0.0.1:9", "root": project, "folder": own}
    _, found = pack.pack("final", ["alice"], **options)
    unsaid = "a1_datasets.txt is packed as it is, without http://127.0.0.1:9: write it in there"
    assert unsaid in found.warnings
    write(own / "a1_datasets.txt", "our own list: http://127.0.0.1:9")
    assert unsaid not in pack.pack("final", ["alice"], **options)[1].warnings
    assert "a1_part_1_ours_alice.svg" in found.files
    write(own / "weights/a1_part1_circle.pt", b"circle")
    _, found = pack.pack("final", ["alice"], root=project, folder=own)
    assert any("is this project's file, not one that you trained" in w for w in found.warnings)


def test_packing_own_notebooks_needs_few_packages():
    """Whoever has run the notebooks in Colab need not install what the tools build them with."""
    code = "import sys; sys.path.insert(0, '.'); import tools.pack; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    heavy = {"torch", "numpy", "pandas", "nbclient", "PIL", "sklearn"}
    assert not heavy & set(done.stdout.split()), done.stderr
