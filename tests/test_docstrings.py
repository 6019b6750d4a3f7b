"""Everything public says what it is, and functions that are called from outside say what they take."""

import ast
import re
from pathlib import Path

import robustkit

ROOT = Path(robustkit.__file__).parent


def public(node, inside=""):
    """Every public class, function and method of a module or class, with its full name."""
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if named and not child.name.startswith("_"):
            yield f"{inside}{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{inside}{child.name}.")


def everything():
    """(module, name, node) of all that is public."""
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
        if any(part.startswith("_") for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__"):
            continue
        tree = ast.parse(path.read_text())
        yield module, "", tree
        for name, node in public(tree):
            yield module, name, node


def test_everything_public_has_a_docstring():
    bare = [f"{module}:{name}" for module, name, node in everything() if not ast.get_docstring(node)]
    assert bare == []


def arguments(node):
    taken = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    return [each.arg for each in taken if each.arg not in ("self", "cls")]


def shop_window():
    """Names that some `__init__` offers, as (module of the package, name)."""
    for path in sorted(ROOT.rglob("__init__.py")):
        names = re.search(r"__all__ = \[(.*?)\]", path.read_text(), re.DOTALL)
        yield from re.findall(r'"(\w+)"', names[1] if names else "")


def undocumented(node):
    """The arguments that a docstring does not explain."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", ast.get_docstring(node) or "", re.MULTILINE | re.DOTALL)
    text = section[1] if section else ""
    return [name for name in arguments(node) if not re.search(rf"^\s+\*{{0,2}}{name}\b", text, re.MULTILINE)]


def test_what_a_function_takes_is_explained():
    """All arguments of a function that a package offers, of one with many, and of one that explains any."""
    offered = set(shop_window())
    assert {"js_distance", "open_model", "train", "make_evaluator"} <= offered
    lacking = []
    for module, name, node in everything():
        if not isinstance(node, ast.FunctionDef) or module.startswith("robustkit.cli"):
            continue
        some = "\nArgs:\n" in (ast.get_docstring(node) or "")
        if some or ("." not in name and ((name in offered and len(arguments(node)) > 1) or len(arguments(node)) > 3)):
            lacking += [f"{module}:{name} {left}" for left in [undocumented(node)] if left]
    assert not lacking, lacking


def test_a_function_that_explains_too_little_is_found():
    node = ast.parse(
        'def f(a, bb, *, c):\n    """Does.\n\n    Args:\n        a: One.\n        c: Three.\n    """'
    ).body[0]
    assert undocumented(node) == ["bb"]
    assert undocumented(ast.parse('def f(a):\n    """Does."""').body[0]) == ["a"]
