"""Code that a file holds for other features alone: a finding there is theirs."""

import ast
from collections.abc import Collection, Iterator

_DYNAMIC = {"eval", "exec", "globals", "locals", "vars", "getattr", "__import__"}
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def lines_of_others(source: bytes, mine: Collection[str], others: Collection[str]) -> set[int]:
    """
    Lines of the definitions that functions *others* of a file use, directly or not, and *mine* do not.

    Args:
        source: of the file.
        mine: names at the file's top level that a feature is made of.
        others: those of the other features.

    Returns:
        Line numbers from 1; none where the feature's own code finds names at run time, so that everything may be part of it.
    """
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return set()  # the lint says so
    definitions = {node.name: node for node in body if isinstance(node, _Definition)}
    used = set(_reached(definitions, mine))
    if any(_DYNAMIC & _names(definitions[name]) for name in used):
        return set()
    alone = set(_reached(definitions, others)) - used
    return {line for name in alone for line in _lines(definitions[name])}


def _reached(definitions: dict[str, _Definition], names: Collection[str]) -> Iterator[str]:
    seen: set[str] = set()
    todo = [name for name in names if name in definitions]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            yield name
            todo += [other for other in _names(definitions[name]) if other in definitions]


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _lines(node: _Definition) -> range:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return range(first, (node.end_lineno or node.lineno) + 1)
