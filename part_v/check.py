"""Checks a1_part_5.tex against PyTorch: `.venv/bin/python part_v/check.py` prints the agreement.

The document states its numbers as \\fact{name}{value}, its calculations as \\arith{expression}{name} and its equations
as \\formula{name}{left}{right} (\\formulain inside a line). Numbers are recomputed, calculations evaluated, and the
equations, translated to Python, run as the forward and backward pass of an LSTM in float64. A wrong digit or a missing
term in the text therefore disagrees with autograd.
"""

import math
import re
from pathlib import Path

import torch
from torch import nn

SOURCE = Path(__file__).with_name("a1_part_5.tex")
GATES = (1, 2, 3, 4)  # W_1..W_4 of the handout make i, f, o, g

# What each macro means when its arguments are inserted; anything else in an equation is refused.
MEANING = {
    "vt": 'v["{0}", {1}]',
    "vtT": 'v["{0}", {1}].T',
    "gr": 'grad["{0}", {1}]',
    "grin": 'grad["{0}", {1}]',
    "grW": 'grad["W", {0}]',
    "grb": 'grad["b", {0}]',
    "dl": "delta[{0}, {1}]",
    "pa": "pre[{0}, {1}]",
    "carry": 'carry["{0}", {1}]',
    "lo": "e[{0}]",
    "OutT": "V.T",
    "W": "W[{0}]",
    "Wh": "Wh[{0}]",
    "WhT": "Wh[{0}].T",
    "WxT": "Wx[{0}].T",
    "bias": "b[{0}]",
    "jac": "jac[{0}]",
    "D": "D[{0}, {1}]",
    "stack": "torch.cat([{0}, {1}])",
    "diag": "({0}).flatten().diag()",
    "sig": "torch.sigmoid({0})",
    "tnh": "torch.tanh({0})",
    "tnhsq": "torch.tanh({0}) ** 2",
    "sumk": "sum({0} for k in GATES)",
    "sumall": "sum({0} for k in GATES)",
    "sumt": "sum({0} for t in steps)",
    "had": "*",
    "mm": "@",
    "zero": "0 * h0",
    "overh": "({0})",
    "overc": "({0})",
    "overL": "({0})",
    "overg": "({0})",
    "bigl": "",
    "bigr": "",
}
ARITHMETIC = {
    "frac": "(({0}) / ({1}))",
    "lfloor": "math.floor(",
    "rfloor": ")",
    "cdot": "*",
    "left": "",
    "right": "",
    "tnhsq": "math.tanh({0}) ** 2",
}

# ------------------------------------------------------------------------------------------ reading the text


def group(text, start):
    """Content of the brace group that opens at text[start], and the position after it."""
    assert text[start] == "{", f"a brace expected at: {text[start : start + 40]!r}"
    depth = 0
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start + 1 : position], position + 1
    raise ValueError(f"unclosed brace: {text[start : start + 40]!r}")


def commands(text, name, n_args):
    r"""Arguments of every use of \name in the body or preamble, its own definition left out."""
    found = []
    for match in re.finditer(rf"\\{name}(?=\{{)", re.sub(r"(?<!\\)%.*", "", text)):
        args, position = [], match.end()
        source = match.string
        if source[: match.start()].endswith(r"\newcommand{"):
            continue
        for _ in range(n_args):
            arg, position = group(source, position)
            args.append(arg)
        found.append(tuple(args))
    return found


def to_python(latex, meaning=MEANING):
    """A Python expression for a LaTeX one made of the macros of `meaning`; ValueError for any other macro."""
    out, position = "", 0
    while position < len(latex):
        char = latex[position]
        if char == "\\":
            name = re.match(r"\\([A-Za-z]+)", latex[position:])
            if name is None or name[1] not in meaning:
                raise ValueError(f"no meaning for {latex[position : position + 20]!r}")
            position += name.end()
            template, args = meaning[name[1]], []
            while f"{{{len(args)}}}" in template:
                arg, position = group(latex, position)
                args.append(to_python(arg, meaning))
            out += f" {template.format(*args)} "
        elif latex.startswith("^{2}", position):
            out, position = out + "** 2", position + 4
        elif number := re.match(r"\d+\.\d+", latex[position:]):
            out, position = out + number[0], position + number.end()
        elif char.isalnum() or char in "+-(), =\n":
            out, position = out + char.replace("\n", " "), position + 1
        else:
            raise ValueError(f"no meaning for {latex[position : position + 20]!r}")
    return " ".join(out.split())


def read_facts(tex):
    """{name: value as printed}; ValueError if a name is stated twice."""
    pairs = commands(tex, "fact", 2)
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a fact is stated twice")
    return dict(pairs)


def read_formulas(tex):
    """{name: compiled `left = right`} of every equation."""
    triples = commands(tex, "formula", 3) + commands(tex, "formulain", 3)
    if len({name for name, _, _ in triples}) != len(triples):
        raise ValueError("two formulas have the same name")
    return {
        name: compile(f"{to_python(left)} = {to_python(right)}", f"formula {name}", "exec")
        for name, left, right in triples
    }


# ------------------------------------------------------------------------------------------ the LSTM


class WrittenLSTM:
    """The document's equations, run on columns: x[1..T] of [d, 1], W[k] of [n, n + d], b[k] of [n, 1].

    `v`, `pre`, `grad`, `delta`, `carry` and `jac` are filled by the formulas, under the names of the text.
    """

    def __init__(self, formulas, W, b, x, h0, c0):
        n = len(h0)
        self.formulas, self.steps = formulas, range(1, len(x) + 1)
        self.v = {("h", 0): h0, ("c", 0): c0, **{("x", t): x[t - 1] for t in self.steps}}
        self.pre, self.grad, self.delta, self.carry, self.jac, self.e = {}, {}, {}, {}, {}, {}
        self.names = {
            "torch": torch, "sum": sum, "GATES": GATES, "steps": self.steps, "T": len(x), "h0": h0, "v": self.v,
            "W": W, "Wh": {k: W[k][:, :n] for k in GATES}, "Wx": {k: W[k][:, n:] for k in GATES}, "b": b,
            "pre": self.pre, "grad": self.grad, "delta": self.delta, "carry": self.carry, "jac": self.jac, "e": self.e,
            "D": {},
        }  # fmt: skip

    def apply(self, *formulas, **indices):
        for name in formulas:
            exec(self.formulas[name], {"__builtins__": {}, **self.names, **indices})

    def forward(self):
        for t in self.steps:
            self.apply("forward.u", t=t)
            for k in GATES:
                self.apply("forward.a", t=t, k=k)
            self.apply(*(f"forward.{name}" for name in "ifogch"), t=t)

    def backward(self, e):
        """e[t]: gradient of the loss of step t with respect to h_t, through the output layer."""
        self.e.update(e)
        self.apply("last.h", "last.c")
        for t in reversed(self.steps):
            self.apply("h", "o", "c", "i", "f", "g", *(f"delta.{k}" for k in GATES), t=t)
            self.apply("x", "carry.h", "carry.c", t=t)
        for k in GATES:
            self.apply("W", "b", k=k)

    def by_boxes(self):
        """The backward pass by the two boxes and nothing else: (B) at T, then (A) down to the first step."""
        for name in (self.grad, self.delta, self.carry):
            name.clear()
        for t in reversed(self.steps):
            box = "A" if t < len(self.steps) else "B"
            if box == "A":
                self.apply(*(f"A.delta.{k}" for k in GATES), t=t)
            self.apply(*(f"{box}.{name}" for name in "hcifog"), t=t)

    def answers(self, t, box):
        """The six gradients of answer box A or B at step t, from the gradients that the backward pass left."""
        kept = dict(self.grad)
        for name in "hocifg":
            self.grad.pop((name, t))
            self.apply(f"{box}.{name}", t=t)
        result = {name: self.grad[name, t] for name in "ifogch"}
        self.grad.clear()
        self.grad.update(kept)
        return result


def random_lstm(n=5, d=3, steps=6, seed=0, scale=0.6):
    """Float64 weights, inputs and initial states, all leaves of autograd."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape, by=scale):
        return (by * torch.randn(*shape, generator=draw, dtype=torch.float64)).requires_grad_()

    W = {k: normal(n, n + d) for k in GATES}
    b = {k: normal(n, 1) for k in GATES}
    return W, b, [normal(d, 1, by=1) for _ in range(steps)], normal(n, 1), normal(n, 1)


def reference(W, b, x, h0, c0, loss_of_step):
    """The handout's cell in plain torch; every intermediate keeps its gradient. Returns values, loss, e_t."""
    v = {("h", 0): h0, ("c", 0): c0}
    losses, e = [], {}
    for t, x_t in enumerate(x, start=1):
        u = torch.cat([v["h", t - 1], x_t])
        for k, name in zip(GATES, "ifog"):
            v["a", k, t] = W[k] @ u + b[k]
            v[name, t] = torch.tanh(v["a", k, t]) if name == "g" else torch.sigmoid(v["a", k, t])
        v["c", t] = v["f", t] * v["c", t - 1] + v["i", t] * v["g", t]
        v["h", t] = v["o", t] * torch.tanh(v["c", t])
        losses.append(loss_of_step(t, v["h", t]))
        alone = v["h", t].detach().requires_grad_()
        (e[t],) = torch.autograd.grad(loss_of_step(t, alone), alone)
    for value in v.values():
        if not value.is_leaf:
            value.retain_grad()
    return v, sum(losses), e


def loss_every_step(t, h):
    """A smooth loss that differs from step to step."""
    return torch.sin((t + 1) * h).sum() + (h * h).sum() / t


def loss_at(last):
    """The same loss read at step `last` only."""
    return lambda t, h: loss_every_step(t, h) if t == last else 0 * h.sum()


def relative_error(found, wanted):
    """Largest absolute difference, relative to the largest wanted value."""
    found, wanted = found.detach(), wanted.detach()
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-300))


def lstm_errors(tex, loss=loss_every_step, **sizes):
    """{quantity: largest relative error over steps and gates} of the document's equations against autograd."""
    W, b, x, h0, c0 = random_lstm(**sizes)
    v, total, e = reference(W, b, x, h0, c0, loss)
    total.backward()
    with torch.no_grad():
        lstm = WrittenLSTM(read_formulas(tex), W, b, x, h0, c0)
        lstm.forward()
        lstm.backward(e)
        T = len(x)
        pairs = {
            f"state {name}": [(lstm.v[name, t], v[name, t]) for t in lstm.steps]
            for name in "ifogch"
        }
        for name in "ifogch":
            pairs[f"dL/d{name}"] = [(lstm.grad[name, t], v[name, t].grad) for t in lstm.steps]
            pairs[f"dL/d{name}, last step"] = [(lstm.grad[name, T], v[name, T].grad)]
            pairs[f"box A, {name}"] = [
                (lstm.answers(t, "A")[name], v[name, t].grad) for t in range(1, T)
            ]
            pairs[f"box B, {name}"] = [(lstm.answers(T, "B")[name], v[name, T].grad)]
        pairs["delta"] = [(lstm.delta[k, t], v["a", k, t].grad) for k in GATES for t in lstm.steps]
        messages = dict(lstm.carry)
        for name in ("def.c", "figure.c", "figure.c.before", "figure.h", "figure.h.before"):
            kind, back = name.split(".")[1], name.endswith("before")
            pairs[f"message, {name}"] = []
            for t in range(1, T + back):
                lstm.apply(name, t=t)
                pairs[f"message, {name}"].append(
                    (lstm.carry[kind, t - back], messages[kind, t - back])
                )
        for t in range(1, T):
            lstm.apply(*(f"A.delta.{k}" for k in GATES), t=t)
        pairs["box A, delta"] = [
            (lstm.delta[k, t], v["a", k, t].grad) for k in GATES for t in range(2, T + 1)
        ]
        pairs["dL/dx"] = [(lstm.grad["x", t], x[t - 1].grad) for t in lstm.steps]
        pairs["dL/dW"] = [(lstm.grad["W", k], W[k].grad) for k in GATES]
        pairs["dL/db"] = [(lstm.grad["b", k], b[k].grad) for k in GATES]
        pairs["dL/dh_0, dL/dc_0"] = [(lstm.carry["h", 0], h0.grad), (lstm.carry["c", 0], c0.grad)]
        for t in lstm.steps[1:]:
            lstm.apply("D.1", "D.2", "D.4", "jacobian", t=t)
        lstm.by_boxes()
        for name in "ifogch":
            pairs[f"boxes alone, {name}"] = [
                (lstm.grad[name, t], v[name, t].grad) for t in lstm.steps
            ]
    pairs["dc_t/dc_t-1"] = [(lstm.jac[t], cell_jacobian(W, b, v, x, t)) for t in lstm.steps[1:]]
    return {
        name: max((relative_error(*pair) for pair in of_name), default=0.0)
        for name, of_name in pairs.items()
    }


def cell_jacobian(W, b, v, x, t):
    """Total dc_t/dc_t-1 by autograd: directly, and through h_t-1 (o_t-1 does not depend on c_t-1)."""

    def next_cell(c):
        h = v["o", t - 1].detach() * torch.tanh(c)
        a = {k: W[k] @ torch.cat([h, x[t - 1]]) + b[k] for k in GATES}
        return torch.sigmoid(a[2]) * c + torch.sigmoid(a[1]) * torch.tanh(a[4])

    jacobian = torch.autograd.functional.jacobian(next_cell, v["c", t - 1].detach())
    return jacobian.flatten(2).squeeze(-1).squeeze(1)


def output_errors(tex, n=5, classes=3, seed=0):
    """The document's e_t for two output layers against autograd."""
    draw = torch.Generator().manual_seed(seed)
    h = torch.randn(n, 1, generator=draw, dtype=torch.float64, requires_grad=True)
    V = torch.randn(classes, n, generator=draw, dtype=torch.float64)
    z = V @ h + torch.randn(classes, 1, generator=draw, dtype=torch.float64)
    target = torch.randn(n, 1, generator=draw, dtype=torch.float64)
    label = torch.tensor([seed % classes])
    one_hot = nn.functional.one_hot(label, classes).T
    losses = {
        "softmax": (nn.functional.cross_entropy(z.T, label), one_hot),
        "square": ((h - target).square().sum() / 2, target),
    }
    errors = {}
    for name, (loss, y) in losses.items():
        (wanted,) = torch.autograd.grad(loss, h)
        v = {("h", 1): h, ("p", 1): z.softmax(0), ("y", 1): y}
        names = {"__builtins__": {}, "v": v, "V": V, "e": {}, "t": 1}
        exec(read_formulas(tex)[f"e.{name}"], names)
        errors[f"e_t, {name}"] = relative_error(names["e"][1], wanted)
    return errors


def nn_lstm_errors(tex, **sizes):
    """The document's equations against torch.nn.LSTM, whose rows are i, f, g, o and which has two biases."""
    W, b, x, h0, c0 = random_lstm(**sizes)
    n, d = len(h0), len(x[0])
    layer = nn.LSTM(d, n).double()
    order = (1, 2, 4, 3)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.cat([W[k][:, :n] for k in order]))
        layer.weight_ih_l0.copy_(torch.cat([W[k][:, n:] for k in order]))
        layer.bias_ih_l0.copy_(torch.cat([b[k] for k in order]).flatten())
        layer.bias_hh_l0.zero_()
    inputs = torch.stack([x_t.detach().T for x_t in x]).requires_grad_()
    h, (_, c_last) = layer(inputs, (h0.detach().T[None], c0.detach().T[None]))
    sum(loss_every_step(t, h_t.T) for t, h_t in enumerate(h, start=1)).backward()
    _, _, e = reference(W, b, x, h0, c0, loss_every_step)
    with torch.no_grad():
        lstm = WrittenLSTM(read_formulas(tex), W, b, x, h0, c0)
        lstm.forward()
        lstm.backward(e)
        grads = torch.cat([lstm.grad["W", k] for k in order])
        pairs = {
            "h": (torch.stack([lstm.v["h", t].T for t in lstm.steps]), h),
            "c_T": (lstm.v["c", len(x)].T[None], c_last),
            "dL/dW_hh": (grads[:, :n], layer.weight_hh_l0.grad),
            "dL/dW_ih": (grads[:, n:], layer.weight_ih_l0.grad),
            "dL/db": (
                torch.cat([lstm.grad["b", k] for k in order]).flatten(),
                layer.bias_ih_l0.grad,
            ),
            "dL/dx": (torch.stack([lstm.grad["x", t].T for t in lstm.steps]), inputs.grad),
        }
    return {f"nn.LSTM {name}": relative_error(*pair) for name, pair in pairs.items()}


# ------------------------------------------------------------------------------------------ V.I and the numbers


def conv_size(size, kernel, padding=0, stride=1):
    return (size - kernel + 2 * padding) // stride + 1


def conv_parameters(channels, filters, kernel, bias=True):
    return (kernel * kernel * channels + bias) * filters


def naive_softmax(z):
    return z.exp() / z.exp().sum(-1, keepdim=True)


def softmax(z):
    """The overflow-safe form of V.I.6."""
    powers = (z - z.max(-1, keepdim=True).values).exp()
    return powers / powers.sum(-1, keepdim=True)


def log_softmax(z):
    shifted = z - z.max(-1, keepdim=True).values
    return shifted - shifted.exp().sum(-1, keepdim=True).log()


LOGITS = torch.tensor([3.0, 1.0, 0.2, -1.0, 0.5], dtype=torch.float64)


def row(values, digits=3, total=False):
    """A table row without its head; `total` appends the sum of the unrounded values."""
    values = [float(value) for value in values]
    values += [sum(values)] * total
    return " & ".join(f"{round(value, digits) + 0.0:.{digits}f}" for value in values)


def grouped(number):
    return f"{number:,}".replace(",", r"\,")


def power_of_ten(number):
    """Three decimals, or d.d x 10^-n where that would round to nothing."""
    if number >= 0.01:
        return f"{number:.3f}"
    mantissa, exponent = f"{number:.1e}".split("e")
    return rf"{mantissa}\cdot 10^{{{int(exponent)}}}"


def smallest_example(tex):
    """States and gradients of the one-unit LSTM over two steps: {(name, t)}, by the document's equations."""
    W = {k: torch.tensor([[1.0, k / 2]], dtype=torch.float64) for k in GATES}
    zero = torch.zeros(1, 1, dtype=torch.float64)
    lstm = WrittenLSTM(
        read_formulas(tex), W, {k: zero for k in GATES}, [zero + 1, zero - 0.5], zero, zero
    )
    lstm.forward()
    lstm.backward({1: zero, 2: lstm.v["h", 2] - 1})
    return lstm


def expected_facts(tex):
    """What every \\fact of the document has to say."""
    height, width, filters, kernel = 32, 28, 10, 5
    sizes = {p: (conv_size(height, kernel, p), conv_size(width, kernel, p)) for p in (0, 1)}
    forget = [0.5, 1 / (1 + math.exp(-1)), 0.9, 0.99, 1.0]
    example = smallest_example(tex)
    facts = {
        "conv.height": sizes[0][0],
        "conv.width": sizes[0][1],
        "conv.filters": filters,
        "conv.values": grouped(math.prod(sizes[0]) * filters),
        "conv.parameters": conv_parameters(3, filters, kernel),
        "conv.parameters.nobias": conv_parameters(3, filters, kernel, bias=False),
        "dense.parameters": grouped((height * width * 3 + 1) * math.prod(sizes[0]) * filters),
        "padded.height": sizes[1][0],
        "padded.width": sizes[1][1],
        "padded.values": grouped(math.prod(sizes[1]) * filters),
        "gray.parameters": conv_parameters(1, filters, kernel),
        "gray.parameters.nobias": conv_parameters(1, filters, kernel, bias=False),
        "gray.saved": conv_parameters(3, filters, kernel) - conv_parameters(1, filters, kernel),
        "z": row(LOGITS, digits=1, total=True),
        "exp": row(LOGITS.exp(), total=True),
        "softmax": row(softmax(LOGITS), total=True),
        "sigmoid": row(LOGITS.sigmoid(), total=True),
        "tanh": row(LOGITS.tanh(), total=True),
        "relu": row(LOGITS.relu(), total=True),
        "linear": row(LOGITS, total=True),
        "shifted": row(LOGITS + 1000, digits=1),
        "exp.minus.max": row((LOGITS - LOGITS.max()).exp(), total=True),
        "overflow.float32": f"{math.log(torch.finfo(torch.float32).max):.2f}",
        "overflow.float64": f"{math.log(torch.finfo(torch.float64).max):.2f}",
        "sigma.one": f"{forget[1]:.3f}",
        "path": " & ".join([*map(power_of_ten, (f**100 for f in forget[:-1])), "1"]),
        "halflife": " & ".join(
            [*(f"{math.log(2) / -math.log(f):.1f}" for f in forget[:-1]), r"\infty"]
        ),
    }
    for t in (1, 2):
        facts[f"example.{t}"] = row(example.v[name, t] for name in "ifogch")
        facts[f"example.gradients.{t}"] = row(example.grad[name, t] for name in "ifogch")
    for name in "hc":
        facts[f"example.{name}"] = row([example.grad[name, 1]])
    return {name: str(value) for name, value in facts.items()}


def main():
    tex = SOURCE.read_text(encoding="utf-8")
    facts, expected = read_facts(tex), expected_facts(tex)
    wrong = {name: value for name, value in expected.items() if facts.get(name) != value}
    print(f"{len(facts)} numbers and rows in the text, {len(wrong)} wrong")
    for name, value in wrong.items():
        print(f"  {name}: {facts.get(name)} should be {value}")
    errors = {**lstm_errors(tex), **output_errors(tex), **nn_lstm_errors(tex)}
    for name, error in errors.items():
        print(f"{name:24} {error:.1e}")
    print(f"{len(read_formulas(tex))} equations, largest relative error {max(errors.values()):.1e}")


if __name__ == "__main__":
    main()
