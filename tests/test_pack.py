"""The packer: the names that the assignment asks for, what it refuses, and the zip opened again."""

import base64
import http.server
import json
import os
import re
import threading
import zipfile

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
    write_frozen,
    write_project,
)

from tools import nb, pack, rubric
from tools.assemble import stamp_executed

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


def refusal(root, kind="final", team=("alice", "bob")):
    with pytest.raises(pack.Refused) as error:
        pack.pack(kind, list(team), root=root)
    assert not list((root / "out").rglob("*.zip")), "a refused submission leaves no zip"
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("kind", "team", "suffix"),
    [("final", ["alice", "bob"], "alice_bob"), ("checkpoint", ["alice"], "alice")],
)
def test_the_zip_holds_exactly_the_names_of_the_handout(project, kind, team, suffix):
    path, names, weights, _ = pack.pack(kind, team, root=project)
    assert path == project / f"out/submission/assignment1_{kind}_{suffix}.zip"
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == names == [
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
    assert weights == [f"a1_part1_{suffix}.pt"]
    assert (path.parent / weights[0]).read_bytes() == b"circle"


def test_the_bonus_is_packed_where_it_exists(project):
    *_, warnings = pack.pack("final", ["alice"], root=project)
    assert "a1_bonus_resnext.ipynb does not exist: a bonus that is not submitted" in warnings
    add_notebook(project, "a1_bonus_resnext")
    _, names, _, warnings = pack.pack("final", ["alice"], root=project)
    assert "a1_bonus_resnext_alice.ipynb" in names and not any("bonus" in line for line in warnings)
    _, names, _, warnings = pack.pack("checkpoint", ["alice"], root=project)
    assert "a1_bonus_resnext_alice.ipynb" not in names and not any(
        "bonus" in line for line in warnings
    )


def test_a_parts_best_weights_take_its_name_and_others_keep_their_models(project):
    path = project / "weights/MANIFEST.json"
    manifest = json.loads(path.read_text())
    better = manifest["a1_part1_circle.pt"] | {"metrics": {"val_acc": 0.95}}
    manifest |= {"a1_part1_ring.pt": better, "a1_part2_ring.pt": better, "a1_part3_ring.pt": better}
    path.write_text(json.dumps(manifest))
    path, _, weights, warnings = pack.pack("checkpoint", ["alice"], root=project)
    assert weights == ["a1_part1_alice.pt", "a1_part1_circle_alice.pt", "a1_part2_alice.pt"]
    assert (
        "weights/a1_part1_ring.pt is not here, so a1_part1_alice.pt is not copied: make it"
        in warnings
    )
    assert (path.parent / "a1_part1_circle_alice.pt").exists()
    with zipfile.ZipFile(path) as archive:
        text = archive.read("a1_weights_alice.txt").decode()
    assert better["sha256"] in text and text.count(".pt") == 3


def test_links_stand_in_the_text_files(project, server):
    path, *_, warnings = pack.pack("final", ["alice"], server, server + "/?data", project)
    assert not any("url" in warning for warning in warnings)
    with zipfile.ZipFile(path) as archive:
        assert server in archive.read("a1_weights_alice.txt").decode().splitlines()
        datasets = archive.read("a1_datasets_alice.txt").decode().splitlines()
    assert server + "/?data" in datasets and "a1_part_2: data of a1_part_2" in datasets


def test_a_missing_or_unreachable_address_is_a_warning(project, server):
    *_, warnings = pack.pack("final", ["alice"], None, server + "/nothing-here", project)
    assert "no --weights-url: the text file says that the link is still to be added" in warnings
    assert any("nothing-here cannot be opened: HTTP Error 404" in line for line in warnings)
    *_, warnings = pack.pack("final", ["alice"], "http://127.0.0.1:9", "my folder", project)
    assert any(
        line.startswith("--weights-url http://127.0.0.1:9 cannot be opened") for line in warnings
    )
    assert "--datasets-url my folder is no web address" in warnings


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
    (line,) = refusal(project)
    assert line.startswith("a1_part_1.ipynb: ") and message in line


def test_a_stale_notebook_is_refused(project):
    edit(project / "notebooks/a1_part_2.py", "measure()", "measure(2)")
    (line,) = refusal(project)
    assert (
        line.startswith("a1_part_2.ipynb: cell ")
        and "its code differs from what its source builds" in line
    )
    edit(project / "notebooks/a1_part_2.py", "measure(2)", "measure()")
    edit(project / "results/a1_part_2.json", "0.9876", "0.5")
    (line,) = refusal(project)
    assert "source and results say" in line


def test_a_frozen_notebook_is_packed_as_it_is_and_refused_once_it_is_changed(project):
    (project / "notebooks/a1_part_2.py").unlink()
    write_frozen(project)
    path, *_ = pack.pack("final", ["alice"], root=project)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("a1_part_2_alice.ipynb") == (project / "a1_part_2.ipynb").read_bytes()
    path.unlink()
    change(project, "measure()", lambda cell: cell.update(source="measure(2)"), "a1_part_2")
    (line,) = refusal(project)
    assert line.startswith(
        "a1_part_2.ipynb: frozen, but its sha256 is not that of first_edition/frozen"
    )


def test_a_notebook_over_10_mb_is_refused(project):
    change(
        project,
        "measure()",
        lambda cell: cell.outputs[0].data.update({"text/plain": "9" * 10_100_000}),
    )
    assert any(
        re.fullmatch(r"a1_part_1_alice_bob.ipynb: 10\.1 MB, over the assignment's 10 MB", line)
        for line in refusal(project)
    )


def test_a_zip_over_the_limit_of_smaller_parts_is_refused(project, monkeypatch):
    monkeypatch.setattr(pack, "MAX_BYTES", 1_000_000)
    noise = base64.b64encode(os.urandom(700_000)).decode()
    for name in ("a1_part_1", "a1_part_2"):
        notebook = read(project, name)
        cell_with(notebook, "measure()").outputs[0].data["text/plain"] = noise
        stamp_executed(notebook, 1)
        nb.write_notebook(notebook, project / f"{name}.ipynb")
    [line] = refusal(project)
    assert re.match(
        r"assignment1_final_alice_bob.zip: 1\.\d MB, over the .* largest unzipped: a1_part_", line
    )


def test_missing_parts_are_refused_each_in_a_line(project):
    (project / "a1_part_1.ipynb").unlink()
    (project / "notebooks/a1_part_2.py").unlink()
    (project / "part_v/a1_part_5.pdf").unlink()
    lines = refusal(project)
    assert lines[0] == "a1_part_1.ipynb is missing: make full NOTEBOOKS=a1_part_1"
    assert "notebooks/a1_part_2.py is missing" in lines[1]
    assert lines[2:] == ["a1_part_5.pdf is missing: make pdf"]


def test_a_pdf_of_an_older_source_is_refused(project):
    edit(project / "part_v/a1_part_5.tex", "28", "27")
    for kind, name in (("final", "a1_part_5.pdf"), ("checkpoint", "a1_part_5_checkpoint.pdf")):
        assert refusal(project, kind) == [
            f"{name} is not built from part_v/a1_part_5.tex as it is now: make pdf"
        ]


def test_damaged_weights_are_refused(project):
    write(project / "weights/a1_part1_circle.pt", b"square")
    assert refusal(project) == [
        "weights/a1_part1_circle.pt does not match weights/MANIFEST.json: restore it"
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
    *_, warnings = pack.pack("checkpoint", ["alice"], root=project)
    assert not any("gaps" in warning for warning in warnings) and not rubric.problems(root=project)
    edit(project / "rubric.yml", "needs: [svg]", "needs: [svg, table]")
    *_, warnings = pack.pack("checkpoint", ["alice"], root=project)
    assert "1 gaps in what the assignment asks for: python tools/rubric.py" in warnings


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
    pack.main(["final", "--team", "alice", "bob", "--weights-url", "nowhere"], project)
    printed = capsys.readouterr()
    assert "warning: --weights-url nowhere is no web address" in printed.err.splitlines()
    assert "opened again and verified" in printed.out and pack.PDF_NAME in printed.out
    assert "  a1_part1_alice_bob.pt" in printed.out.splitlines()
    with pytest.raises(SystemExit) as stop:
        pack.main(["final", "--team", "a/b"], project)
    assert str(stop.value).startswith("refused: the team name 'a/b'")
