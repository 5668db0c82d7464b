"""Part V: every number and equation of the document agrees with PyTorch, and the PDF is built from this source."""

import hashlib
import math
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest
import torch
from torch import nn

from part_v import check
from tools import rubric

ROOT = Path(__file__).resolve().parent.parent
PDFS = {"a1_part_5": range(5, 9), "a1_part_5_checkpoint": range(1, 5)}  # pages
TEX = check.SOURCE.read_text(encoding="utf-8")
TOLERANCE = 1e-10


def replaced(old, new, count=1):
    """The document with `old` changed to `new`; the text must be there."""
    assert TEX.count(old) >= 1, f"the document does not say {old}"
    return TEX.replace(old, new, count)


def worst(tex, **kwargs):
    return max(check.lstm_errors(tex, **kwargs).values())


# ------------------------------------------------------------------------------------------ the LSTM equations

LOSSES = {
    "every step": check.loss_every_step,
    "last step only": check.loss_at(6),
    "a step in the middle": check.loss_at(3),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("loss", LOSSES)
def test_equations_agree_with_autograd_at_every_step(loss, seed):
    errors = check.lstm_errors(TEX, loss=LOSSES[loss], seed=seed)
    assert {name: error for name, error in errors.items() if not error < TOLERANCE} == {}


@pytest.mark.parametrize(
    "sizes", [{"steps": 1}, {"steps": 40}, {"n": 1, "d": 1}, {"n": 3, "d": 8}, {"scale": 3.0}]
)
def test_equations_hold_for_other_sizes_and_saturated_gates(sizes):
    assert worst(TEX, **sizes) < TOLERANCE


@pytest.mark.parametrize("sizes", [{}, {"steps": 1}, {"n": 8, "d": 2, "steps": 20, "seed": 1}])
def test_equations_agree_with_nn_lstm(sizes):
    assert max(check.nn_lstm_errors(TEX, **sizes).values()) < TOLERANCE


def test_a_loss_at_step_t_only_is_answered_by_box_b():
    W, b, x, h0, c0 = check.random_lstm()
    for t in range(1, len(x) + 1):
        v, loss, e = check.reference(W, b, x, h0, c0, check.loss_at(t))
        loss.backward()
        with torch.no_grad():
            lstm = check.WrittenLSTM(check.read_formulas(TEX), W, b, x, h0, c0)
            lstm.forward()
            lstm.backward(e)
            for name, answer in lstm.answers(t, "B").items():
                assert check.relative_error(answer, v[name, t].grad) < TOLERANCE, (name, t)


@pytest.mark.parametrize("seed", range(3))
def test_e_of_both_output_layers_agrees_with_autograd(seed):
    assert max(check.output_errors(TEX, seed=seed).values()) < TOLERANCE
    for right, wrong in (
        (r"\vt{p}{t}-\vt{y}{t}", r"\vt{p}{t}"),
        (r"\vt{h}{t}-\vt{y}{t}", r"\vt{y}{t}-\vt{h}{t}"),
    ):
        assert max(check.output_errors(replaced(right, wrong), seed=seed).values()) > 1e-3


@pytest.mark.parametrize("closed", [False, True])
def test_the_jacobians_of_two_steps_multiply_only_without_the_path_through_the_output_gate(closed):
    W, b, x, h0, c0 = check.random_lstm()
    n, t = len(h0), 3
    with torch.no_grad():
        W[3][:, :n] *= not closed
        lstm = check.WrittenLSTM(check.read_formulas(TEX), W, b, x, h0, c0)
        lstm.forward()
        for step in (t, t + 1):
            lstm.apply("D.1", "D.2", "D.4", "jacobian", t=step)

    def two_steps(c):
        h = lstm.v["o", t - 1] * torch.tanh(c)
        for step in (t, t + 1):
            a = {k: W[k] @ torch.cat([h, x[step - 1]]) + b[k] for k in check.GATES}
            c = torch.sigmoid(a[2]) * c + torch.sigmoid(a[1]) * torch.tanh(a[4])
            h = torch.sigmoid(a[3]) * torch.tanh(c)
        return c

    total = torch.autograd.functional.jacobian(two_steps, lstm.v["c", t - 1]).reshape(n, n)
    error = check.relative_error(lstm.jac[t + 1] @ lstm.jac[t], total)
    assert error < TOLERANCE if closed else error > 1e-3


MISTAKES = {
    "forget path dropped": (r"+\overc{\carry{c}{t}}", ""),
    "forget path dropped in box A": (r"+\gr{c}{t+1}\had\vt{f}{t+1}", ""),
    "forget gate of the wrong step in box A": (r"\gr{c}{t+1}\had\vt{f}{t+1}", r"\gr{c}{t+1}\had\vt{f}{t}"),
    "tanh factor forgotten": (r"\vt{o}{t}\had\bigl(1-\tnhsq{\vt{c}{t}}\bigr)}+\overc", r"\vt{o}{t}}+\overc"),
    "tanh factor forgotten in box B": (r"{\lo{t}\had\vt{o}{t}\had\bigl(1-\tnhsq{\vt{c}{t}}\bigr)}", r"{\lo{t}\had\vt{o}{t}}"),
    "future of h dropped": (r"+\overg{\carry{h}{t}}", ""),
    "own loss of h dropped": (r"\overL{\lo{t}}+", ""),
    "new cell for old": (r"\formulain{f}{\gr{f}{t}}{\gr{c}{t}\had\vt{c}{t-1}}", r"\formulain{f}{\gr{f}{t}}{\gr{c}{t}\had\vt{c}{t}}"),
    "i and g swapped": (r"\formulain{i}{\gr{i}{t}}{\gr{c}{t}\had\vt{g}{t}}", r"\formulain{i}{\gr{i}{t}}{\gr{c}{t}\had\vt{i}{t}}"),
    "o from c": (r"\formulain{o}{\gr{o}{t}}{\gr{h}{t}\had\tnh{\vt{c}{t}}}", r"\formulain{o}{\gr{o}{t}}{\gr{h}{t}\had\vt{c}{t}}"),
    "derivative of the sigmoid forgotten": (r"\had\vt{f}{t}\had\bigl(1-\vt{f}{t}\bigr)", ""),
    "derivative of g taken for a sigmoid's": (r"\bigl(1-\vt{g}{t}^{2}\bigr)", r"\vt{g}{t}\had\bigl(1-\vt{g}{t}\bigr)"),
    "one gate left out of the message": (r"\carry{h}{t-1}}{\sumk{\WhT{k}\mm\dl{k}{t}}}", r"\carry{h}{t-1}}{\WhT{1}\mm\dl{1}{t}}"),
    "sigmoid factor forgotten in box A": (r"\had\bigl(1-\vt{f}{t+1}\bigr)", ""),
    "new cell for old in box A": (r"\had\vt{c}{t}\had\vt{f}{t+1}", r"\had\vt{c}{t+1}\had\vt{f}{t+1}"),
    "cell for hidden state in box A": (r"\gr{h}{t+1}\had\tnh{\vt{c}{t+1}}", r"\gr{c}{t+1}\had\tnh{\vt{c}{t+1}}"),
    "forget gate of the wrong step in the figure": (r"\formulain{figure.c}{\carry{c}{t}}{\grin{c}{t+1}\had\vt{f}{t+1}}", r"\formulain{figure.c}{\carry{c}{t}}{\grin{c}{t+1}\had\vt{f}{t}}"),
    "weights of x for those of h": (r"\gr{x}{t}}{\sumk{\WxT{k}", r"\gr{x}{t}}{\sumk{\WhT{k}"),
    "no sum over time": (r"{\sumt{\dl{k}{t}\mm\vtT{u}{t}}}", r"{\dl{k}{1}\mm\vtT{u}{1}}"),
    "forget gates left out of the Jacobian": (r"\jac{t}}{\diag{\vt{f}{t}}+", r"\jac{t}}{"),
    "gates in another order": (r"{\vt{i}{t}}{\sig{\pa{1}{t}}}", r"{\vt{i}{t}}{\sig{\pa{2}{t}}}"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_text_breaks_the_agreement(mistake):
    assert worst(replaced(*MISTAKES[mistake]), n=4, d=4) > 1e-3


def test_the_last_step_treated_as_not_last_breaks():
    later = r"\lo{t}+\sumk{\WhT{k}\mm\dl{k}{t+1}}"
    with pytest.raises(KeyError, match=r"\(1, 7\)"):  # there is no step 7 of 6
        worst(
            replaced(
                r"\formula{B.h}{\gr{h}{t}}{\lo{t}}", rf"\formula{{B.h}}{{\gr{{h}}{{t}}}}{{{later}}}"
            )
        )
    for message in ("h", "c"):
        start = rf"\formulain{{last.{message}}}{{\carry{{{message}}}{{T}}}}"
        assert worst(replaced(rf"{start}{{\zero}}", rf"{start}{{\vt{{{message}}}{{T}}}}")) > 1e-3


def test_a_step_in_the_middle_treated_as_last_breaks():
    errors = check.lstm_errors(replaced(r"\lo{t}+\sumk{\WhT{k}\mm\dl{k}{t+1}}", r"\lo{t}"))
    assert (
        errors["box A, h"] > 1e-3
        and errors["boxes alone, h"] > 1e-3
        and errors["dL/dh"] < TOLERANCE
    )


def test_equations_with_an_unknown_symbol_are_refused():
    for latex in (r"\vt{i}{t}\otimes\vt{g}{t}", r"\vt{i}{t}[0]", r"\vt{i}{t}/2"):
        with pytest.raises(ValueError, match="no meaning"):
            check.to_python(latex)


# ------------------------------------------------------------------------------------------ V.I


def conv(channels, padding=0, bias=True):
    return nn.Conv2d(channels, 10, kernel_size=5, stride=1, padding=padding, bias=bias)


def printed(name):
    return int(check.read_facts(TEX)[name].replace(r"\,", ""))


@pytest.mark.parametrize(("padding", "name"), [(0, "conv"), (1, "padded")])
def test_output_sizes_are_those_of_conv2d(padding, name):
    out = conv(3, padding)(torch.zeros(1, 3, 32, 28))
    assert out.shape[1:] == (
        printed("conv.filters"),
        printed(f"{name}.height"),
        printed(f"{name}.width"),
    )
    assert out.numel() == printed(f"{name}.values")


@pytest.mark.parametrize(("channels", "name"), [(3, "conv"), (1, "gray")])
def test_parameter_counts_are_those_of_conv2d(channels, name):
    for bias, suffix in ((True, ""), (False, ".nobias")):
        count = sum(parameter.numel() for parameter in conv(channels, bias=bias).parameters())
        assert count == printed(f"{name}.parameters{suffix}")
    assert printed("gray.saved") == printed("conv.parameters") - printed("gray.parameters")


def test_the_dense_layer_would_be_that_large():
    with torch.device("meta"):
        layer = nn.Linear(32 * 28 * 3, printed("conv.values"))
    assert sum(parameter.numel() for parameter in layer.parameters()) == printed("dense.parameters")


@pytest.mark.parametrize("size", [5, 6, 28, 32, 33])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_size_formula_is_conv2ds(size, kernel, padding, stride):
    out = nn.Conv1d(1, 1, kernel, stride, padding)(torch.zeros(1, 1, size))
    assert out.shape[-1] == check.conv_size(size, kernel, padding, stride)


# ------------------------------------------------------------------------------------------ softmax


def test_softmax_is_a_distribution_in_the_order_of_the_scores():
    p = check.softmax(check.LOGITS)
    assert (p > 0).all() and abs(p.sum() - 1) < 1e-15
    assert torch.equal(p.argsort(), check.LOGITS.argsort())
    odds = (p[:, None] / p[None]).log()
    assert torch.allclose(odds, check.LOGITS[:, None] - check.LOGITS[None], rtol=0, atol=1e-12)


def test_no_other_activation_is_a_distribution():
    z = check.LOGITS
    for out in (z.sigmoid(), z.tanh(), z.relu(), z):
        assert (out < 0).any() or abs(out.sum() - 1) > 0.5
    assert (-z.abs()).relu().sum() == 0, "ReLU of negative scores cannot be normalised"
    assert (z.sigmoid() > 0.5).sum() == 4, "the text says four of the five"
    assert not any(out.log().isfinite().all() for out in (z.relu(), z.tanh(), z))


@pytest.mark.parametrize("shift", [-1e4, -1000, -3.7, 1e-3, 50, 1000, 1e4])
def test_softmax_does_not_see_a_shift(shift):
    assert torch.allclose(
        check.softmax(check.LOGITS + shift), check.softmax(check.LOGITS), rtol=1e-11, atol=0
    )


def test_equal_probabilities_mean_scores_a_constant_apart():
    z = check.LOGITS
    recovered = check.softmax(z + 12.5).log()
    assert float((recovered - z).std()) < 1e-14
    assert not torch.allclose(check.softmax(2 * z), check.softmax(z), atol=0.1), "a scale is seen"


def test_the_naive_form_overflows_where_the_text_says_and_the_shifted_one_does_not():
    for dtype, name in ((torch.float32, "overflow.float32"), (torch.float64, "overflow.float64")):
        limit = float(check.read_facts(TEX)[name])
        assert torch.tensor(limit - 0.01, dtype=dtype).exp().isfinite()
        assert torch.tensor(limit + 0.01, dtype=dtype).exp().isinf()
    assert check.naive_softmax(check.LOGITS + 1000).isnan().all()
    assert check.naive_softmax(check.LOGITS - 1000).isnan().all()
    only_the_sum = torch.full((5,), float(check.read_facts(TEX)["overflow.float32"]) - 0.5)
    assert only_the_sum.exp().isfinite().all() and (check.naive_softmax(only_the_sum) == 0).all()
    extreme = torch.tensor(
        [[1e308, -1e308, 0.0], [-1e308, -1e308, -1e308], [800.0, 0.0, -800.0]], dtype=torch.float64
    )
    assert torch.equal(check.softmax(extreme), extreme.softmax(-1))
    assert torch.equal(check.log_softmax(extreme), extreme.log_softmax(-1))
    assert check.log_softmax(extreme)[2, 2] == -1600, "log of a probability that is 0 in float64"


def test_one_score_is_free():
    z = check.LOGITS
    assert torch.allclose(check.softmax(z - z[-1]), check.softmax(z), rtol=1e-14)
    assert torch.allclose(check.softmax(z[:2])[0], torch.sigmoid(z[0] - z[1]), rtol=1e-14)
    jacobian = torch.autograd.functional.jacobian(check.softmax, z)
    p = check.softmax(z)
    assert torch.allclose(jacobian, p.diag() - torch.outer(p, p), atol=1e-15)
    assert jacobian.sum(1).abs().max() < 1e-15 and torch.linalg.matrix_rank(jacobian) == 4


def test_the_gradient_of_cross_entropy_is_p_minus_y():
    z = check.LOGITS.clone().requires_grad_()
    nn.functional.cross_entropy(z[None], torch.tensor([2])).backward()
    y = nn.functional.one_hot(torch.tensor(2), 5)
    assert torch.allclose(z.grad, check.softmax(check.LOGITS) - y, atol=1e-15)
    assert abs(z.grad.sum()) < 1e-15


# ------------------------------------------------------------------------------------------ the printed numbers


def test_every_printed_number_is_recomputed():
    assert check.read_facts(TEX) == check.expected_facts(TEX)


@pytest.mark.parametrize("name", check.read_facts(TEX))
def test_a_wrong_digit_is_found_and_every_number_is_printed(name):
    value = check.read_facts(TEX)[name]
    wrong = replaced(rf"\fact{{{name}}}{{{value}}}", rf"\fact{{{name}}}{{{value[:-1]}x}}")
    assert check.read_facts(wrong) != check.expected_facts(TEX)
    assert (
        rf"\val{{{name}}}" in TEX
        or rf"\row{{{name}}}" in TEX
        or rf"{{{name}}}" in TEX.split(r"\begin{document}")[1]
    )


def arithmetic(latex):
    return eval(check.to_python(latex, check.ARITHMETIC), {"math": math, "__builtins__": {}})


@pytest.mark.parametrize(
    ("expression", "name"), check.commands(TEX.split(r"\begin{document}")[1], "arith", 2)
)
def test_written_calculations_give_the_printed_result(expression, name):
    value = check.read_facts(TEX)[name].replace(r"\,", "")
    assert f"{arithmetic(expression):.{len(value.partition('.')[2])}f}" == value


def test_the_terms_of_the_example_are_computed_ones():
    example = check.smallest_example(TEX)
    terms = {
        "h": [f"{float(example.delta[k, 2]):.4f}" for k in check.GATES],
        "c": [
            f"{float(value):.3f}"
            for value in (
                example.grad["h", 1], example.v["o", 1], example.v["c", 1], example.grad["c", 2], example.v["f", 2]
            )
        ],
    }  # fmt: skip
    written = {name: expression for expression, name in check.commands(TEX, "arith", 2)}
    for name, wanted in terms.items():
        assert re.findall(r"-?\d\.\d+", written[f"example.{name}"]) == wanted


def test_a_wrong_calculation_is_found():
    assert arithmetic(r"\left\lfloor\frac{32-5+2\cdot 1}{2}\right\rfloor+1") == 15
    assert arithmetic(r"(5\cdot 5\cdot 1+1)\cdot 10") != printed("conv.parameters")


def test_the_example_agrees_with_autograd():
    lstm = check.smallest_example(TEX)
    h0, c0 = torch.zeros(2, 1, 1, dtype=torch.float64, requires_grad=True)
    x = [lstm.v["x", 1], lstm.v["x", 2]]

    def end_loss(t, h):
        return (t == 2) * ((h - 1) ** 2 / 2).sum()

    v, loss, _ = check.reference(lstm.names["W"], lstm.names["b"], x, h0, c0, end_loss)
    loss.backward()
    for (name, t), gradient in lstm.grad.items():
        if name in "ifogch" and t in (1, 2):
            assert abs(float(gradient - v[name, t].grad)) < 1e-15, (name, t)


# ------------------------------------------------------------------------------------------ the PDF


@pytest.mark.parametrize("name", PDFS)
def test_the_pdf_is_built_from_this_source(name):
    stated = re.findall(
        rb"/SourceSHA256 ?\((\w+)\)", (ROOT / "part_v" / f"{name}.pdf").read_bytes()
    )
    wanted = hashlib.sha256(check.SOURCE.read_bytes()).hexdigest()
    assert stated == [wanted.encode()], (
        f"part_v/{name}.pdf is not built from a1_part_5.tex: run make pdf"
    )


@pytest.mark.parametrize(
    ("item", "asked"),
    [("V.I.5", "why other activations fit less"), ("V.I.6", "what shift invariance means")],
)
def test_what_an_item_asks_for_in_words_stands_in_its_box(item, asked):
    [box] = re.findall(rf"begin{{answer}}{{Answer {item}}}(.*?)end{{answer}}", TEX, re.DOTALL)
    sentence = {"V.I.5": "Why not another:", "V.I.6": "What it means:"}[item]
    assert sentence in box, asked


@pytest.mark.parametrize("team", ["alice & bob", "O'Brien", "a_b", "alice, bob", "x; false"])
def test_a_team_that_pack_would_refuse_is_refused_before_latex(team):
    command = ["make", "--no-print-directory", "pdf", f"TEAM={team}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout.startswith("TEAM takes a to z, digits and hyphens")


@pytest.mark.skipif(not shutil.which("latexmk"), reason="no LaTeX here")
def test_the_teams_names_stand_on_the_pdf_and_the_committed_one_stays(tmp_path):
    for name in ("Makefile", "part_v/a1_part_5.tex"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    done = subprocess.run(["make", "pdf", "TEAM=alice bob"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    for name in ("a1_part_5_alice_bob", "a1_part_5_checkpoint_alice_bob"):
        pdf = (tmp_path / f"out/part_v/{name}.pdf").read_bytes()
        [author] = re.findall(rb"/Author\((.*?)\)", pdf)
        text = re.sub(rb"\\(\d{3})", lambda octal: bytes([int(octal[1], 8)]), author)
        assert text.decode("utf-16") == "alice and bob"
        assert rubric.is_from(
            tmp_path / f"out/part_v/{name}.pdf", tmp_path / "part_v/a1_part_5.tex"
        )
    assert not list((tmp_path / "part_v").glob("*.pdf"))


def test_the_source_is_one_file():
    code = re.sub(r"(?<!\\)%.*", "", TEX)
    assert not re.search(r"\\(input|include|includegraphics|bibliography|lstinputlisting)\b", code)


def streams(pdf):
    """The PDF's streams, inflated where they are deflated."""
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            yield zlib.decompress(stream)
        except zlib.error:
            yield stream


@pytest.mark.parametrize("name", PDFS)
def test_the_pdf_is_small_with_all_fonts_inside_and_names_no_machine(name):
    pdf = (ROOT / "part_v" / f"{name}.pdf").read_bytes()
    assert len(pdf) < 1_000_000
    fonts = re.findall(rb"/Type ?/FontDescriptor(.*?)>>", pdf, re.DOTALL)
    assert len(fonts) >= 5 and all(b"/FontFile" in font for font in fonts)
    assert b"/Type3" not in pdf.replace(b" ", b"")
    pages = re.findall(rb"/Type ?/Page\b(?!s)", pdf)
    assert len(pages) in PDFS[name]
    for part in (pdf, *streams(pdf)):
        assert not re.search(rb"/(home|root|work|tmp|usr)/", part)
