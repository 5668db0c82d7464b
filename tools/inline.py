"""Replace `from a1... import name` by the source of what it imports, so that a notebook stands
alone.
"""

import ast
import re
import symtable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = "a1"


class BuildError(Exception):
    """A source from which no notebook can be built; the message names the file and what to do."""


@dataclass
class Module:
    """Top level of one module: sources of its definitions, and what its imports bind."""

    path: Path
    definitions: dict  # name -> source text, with decorators and the comment above
    imports: dict  # name -> the import statement that binds it, for example "import numpy as np"
    borrowed: dict  # name -> the package module it comes from


def import_statements(node):
    """The statements, one a name, that `node` stands for: {bound name: "from x import y"}."""
    prefix = f"from {node.module} " if isinstance(node, ast.ImportFrom) else ""
    return {
        alias.asname or alias.name.split(".")[0]: f"{prefix}import {ast.unparse(alias)}"
        for alias in node.names
    }


def is_ours(node):
    """Whether `node` imports from the package."""
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] == PACKAGE
    return isinstance(node, ast.Import) and any(
        alias.name.split(".")[0] == PACKAGE for alias in node.names
    )


def bound_names(node):
    """Names that a top-level definition or assignment binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    return [
        name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)
    ]


def read_module(path):
    """Parse the module at `path`."""
    return parse_module(path, path.read_text())


@cache
def parse_module(path, text):
    lines = text.splitlines()
    definitions, imports, borrowed = {}, {}, {}
    for node in ast.parse(text).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if is_ours(node):
                home = path_of(node.module, path.parents)
                borrowed |= {alias.name: home for alias in node.names}
            else:
                imports |= import_statements(node)
        for name in bound_names(node):
            start = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
            while start and lines[start - 1].startswith("#"):
                start -= 1
            definitions[name] = "\n".join(lines[start : node.end_lineno])
    return Module(path, definitions, imports, borrowed)


def path_of(module, parents):
    """File of a dotted module of the package; `parents` are the folders above the importing file."""
    for root in parents:
        path = root / (module.replace(".", "/") + ".py")
        if path.exists():
            return path
    raise BuildError(f"there is no module {module}")


def needed_names(source):
    """Global names that a piece of source reads when it is defined or run."""
    needed = set()

    def walk(table):
        for symbol in table.get_symbols():
            at_top = table.get_type() == "module"
            if symbol.is_referenced() and (symbol.is_global() or at_top):
                needed.add(symbol.get_name())
        for child in table.get_children():
            walk(child)

    walk(symtable.symtable(source, "<definition>", "exec"))
    return needed


class Inliner:
    """Turns the code cells of one notebook source, in order, into self-contained ones."""

    def __init__(self, source_path):
        self.source_path = Path(source_path)
        self.root = (
            self.source_path.resolve().parent.parent
        )  # notebooks/ and the package stand side by side
        self.shown = {}  # name -> module path of the definition that a cell has shown
        self.callables = set()  # those of them that are functions or classes
        self.imported = {}  # name -> import statement that a cell has run

    def fail(self, message):
        raise BuildError(f"{self.source_path.name}: {message}")

    def cell(self, source):
        """The cell's source with every import from the package replaced."""
        tree = ast.parse(source)
        for symbol in symtable.symtable(source, "<cell>", "exec").get_symbols():
            if symbol.is_assigned() and symbol.get_name() in self.callables:
                self.fail(
                    f"a cell gives {symbol.get_name()} another meaning, and code shown before still calls it: rename it"
                )
        top_level = [node for node in tree.body if is_ours(node)]
        if any(is_ours(node) for node in ast.walk(tree) if node not in top_level):
            self.fail(f"import from {PACKAGE} only at the top level of a cell")
        lines = source.splitlines()
        pieces, position = [], 0
        for node in tree.body:
            if node in top_level:
                pieces.append("\n".join(lines[position : node.lineno - 1]).strip("\n"))
                pieces += self.sources_of(node)
                position = node.end_lineno
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                self.imported |= import_statements(node)
        pieces.append("\n".join(lines[position:]).strip("\n"))
        return join_definitions([piece for piece in pieces if piece.strip()])

    def sources_of(self, node):
        """Source texts of what one import statement names and no cell has shown, in their module's
        order.
        """
        if isinstance(node, ast.Import) or any(
            alias.name == "*" or alias.asname for alias in node.names
        ):
            self.fail(
                f"write `from {PACKAGE}.module import name`, without `as` or `*`: {ast.unparse(node)}"
            )
        module = read_module(self.root / (node.module.replace(".", "/") + ".py"))
        asked = [alias.name for alias in node.names]
        for name in asked:
            if name not in module.definitions:
                self.fail(f"{node.module} defines no {name}")
            if self.shown.get(name, module.path) != module.path:
                self.fail(
                    f"{name} is defined in {self.shown[name].name} and in {module.path.name}: rename one of them"
                )
        new = [name for name in module.definitions if name in asked and name not in self.shown]
        self.shown |= dict.fromkeys(new, module.path)
        for name in new:
            self.check_needs(name, module)
            if re.search(
                rf"^(async def|def|class) {name}\b", module.definitions[name], re.MULTILINE
            ):
                self.callables.add(name)
        return list(dict.fromkeys(module.definitions[name] for name in new))

    def check_needs(self, name, module):
        """Stop where `name` needs something that no cell has shown or imported yet."""
        for need in sorted(needed_names(module.definitions[name]) - {name}):
            where = f"{name} ({module.path.relative_to(self.root)}) needs {need}"
            home = module.path if need in module.definitions else module.borrowed.get(need)
            if home and self.shown.get(need) != home:
                self.fail(
                    f"{where} from {home.name}, which no cell has shown yet: import it before {name}"
                )
            statement = module.imports.get(need)
            if not home and statement and self.imported.get(need) != statement:
                self.fail(f"{where}: add `{statement}` to the notebook's imports")


def join_definitions(pieces):
    """Join source texts: two empty lines around definitions, one after imports, none between
    one-line constants.
    """
    joined = pieces[0] if pieces else ""
    for before, piece in zip(pieces, pieces[1:]):
        definition = any(
            re.search(r"^(async def|def|class|@)", text, re.MULTILINE) for text in (before, piece)
        )
        after_import = re.match(r"(import|from) ", before.splitlines()[-1])
        joined += ("\n\n\n" if definition else "\n\n" if after_import else "\n") + piece
    return joined
