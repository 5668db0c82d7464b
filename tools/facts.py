"""Numbers for the prose: cells tagged "facts" compute them in a notebook's kernel and are not part
of the deliverable.

A facts cell defines `facts = {name: int, float or str}`, and, where the prose cites what follows
from them, `derived = {name: "expression over names of facts"}`, a literal.
"""

import ast
import json
import keyword
import math
import operator
import re

from tools.inline import PACKAGE, BuildError, is_ours
from tools.prose import citations

OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
FUNCTIONS = {
    "min": min,
    "max": max,
    "abs": abs,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
}
# What results/ holds of every notebook, cited or not.
KEPT = re.compile(r"\w+\.(train|val|test|mean_test|sd_test)_\w+|[\w.]+\.run|runs|data")
MARK = "FACTS "
# The cell runs in a copy of the globals: no name of it stays, and nobody's next random number
# changes.
WRAPPER = """\
def __run_facts(source):
    import json, linecache, random, sys
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    states = [(random.setstate, random.getstate())]
    if numpy:
        states.append((numpy.random.set_state, numpy.random.get_state()))
    if torch:
        states.append((torch.set_rng_state, torch.get_rng_state()))
        if torch.cuda.is_available():
            states.append((torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    linecache.cache["<facts>"] = len(source), None, source.splitlines(True), "<facts>"
    space = dict(globals())
    try:
        exec(compile(source, "<facts>", "exec"), space)
    finally:
        for restore, state in states:
            restore(state)
    print("\\n{mark}" + json.dumps(space["facts"], default=lambda value: value.item()))


try:
    __run_facts({source!r})
finally:
    del __run_facts
"""


def is_facts(cell):
    """Whether a cell is one of facts."""
    return "facts" in cell.metadata.get("tags", [])


def wrap(source):
    """The code that runs a facts cell without a trace and prints its facts."""
    return WRAPPER.format(mark=MARK, source=source)


def is_name(name):
    """Whether `name` is made of Python identifiers and dots."""
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split("."))


def read_facts(outputs):
    """The facts that a wrapped cell printed; ValueError where they are not names with numbers or
    text.
    """
    text = "".join(output.text for output in outputs if output.get("name") == "stdout")
    lines = [line for line in text.splitlines() if line.startswith(MARK)]
    facts = json.loads(lines[-1].removeprefix(MARK))
    for name, value in facts.items():
        if not is_name(name):
            raise ValueError(f"{name!r} is no name for a fact: identifiers and dots")
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError(f"{name} is {value!r}: a fact is a number or text")
    return facts


def parse(expression):
    """The syntax tree of an expression over facts; ValueError where it holds anything else."""
    try:
        tree = ast.parse(expression, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"{expression}: {error.msg}") from None
    names_in_tree(tree)
    return tree


def name_of(node):
    """`resnet18.test_acc` of a chain of attributes; None of any other node."""
    if isinstance(node, ast.Name):
        return node.id
    home = name_of(node.value) if isinstance(node, ast.Attribute) else None
    return f"{home}.{node.attr}" if home else None


def names_in_tree(node):
    if name := name_of(node):
        return [name]
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return []
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        parts = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        parts = [node.operand]
    elif isinstance(node, ast.Call) and name_of(node.func) in FUNCTIONS and not node.keywords:
        parts = node.args
    else:
        raise ValueError(
            f"{ast.unparse(node)}: only facts, numbers, + - * / ** and {', '.join(FUNCTIONS)}"
        )
    return [name for part in parts for name in names_in_tree(part)]


def names_in(expression):
    """Names of the facts that an expression needs."""
    return list(dict.fromkeys(names_in_tree(parse(expression))))


def evaluate(expression, facts):
    """Value of an expression; KeyError where a fact is missing, ValueError where it cannot be
    computed.
    """

    def value(node):
        if name := name_of(node):
            return facts[name]
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.UnaryOp):
            return -value(node.operand)
        if isinstance(node, ast.Call):
            return FUNCTIONS[node.func.id](*map(value, node.args))
        return OPERATORS[type(node.op)](value(node.left), value(node.right))

    tree = parse(expression)
    try:
        return value(tree)
    except (TypeError, ArithmeticError, ValueError) as error:
        raise ValueError(f"{expression}: {error}") from None


def derived_in(cells):
    """{name: expression} that the facts cells among `cells` declare; BuildError where one of them is no facts cell."""
    found = {}
    for cell in filter(is_facts, cells):
        try:
            tree = ast.parse(cell.source)
        except SyntaxError as error:
            raise BuildError(f"a facts cell: {error.msg}: {(error.text or '').strip()}") from None
        if any(map(is_ours, ast.walk(tree))):
            raise BuildError(f"a facts cell imports from {PACKAGE}: it has what the notebook has")
        for node in tree.body:
            if not (isinstance(node, ast.Assign) and name_of(node.targets[0]) == "derived"):
                continue
            try:
                for name, expression in ast.literal_eval(node.value).items():
                    if name in found or not is_name(name):
                        raise ValueError(f"{name} is declared twice, or is no name")
                    names_in(expression)
                    found[name] = expression
            except (ValueError, TypeError, AttributeError) as error:
                raise BuildError(
                    f'derived = {{"name": "expression", ...}} in a facts cell: {error}'
                ) from None
    return found


def with_derived(facts, derived):
    """Facts, and the values of all derived numbers; BuildError where one cannot be computed."""
    found = dict(facts)
    for name, expression in derived.items():
        if name in facts:
            raise BuildError(f"{name} is a fact and derived: rename one of them")
        try:
            found[name] = evaluate(expression, facts)
        except KeyError as error:
            raise BuildError(f"derived {name} needs {error}, which no facts cell defines") from None
        except ValueError as error:
            raise BuildError(f"derived {name}: {error}") from None
    return found


def select(values, derived, wanted):
    """What results/ holds of `values`: what is `wanted`, what that is derived from, and what is
    always kept.
    """
    wanted = set(wanted)
    for name in wanted & set(derived):
        wanted |= set(names_in(derived[name]))
    return {name: value for name, value in values.items() if name in wanted or KEPT.fullmatch(name)}


def cited_by(text, notebook, own):
    """Names of `notebook`'s results that a source text cites; `own`: whether it is the notebook's
    own source.
    """
    prefix = "" if own else f"{notebook}/"
    names = [name for name, _ in citations(text) if ("/" in name) != own]
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
