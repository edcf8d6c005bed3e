"""Names of a module as far as the lint needs them: imports, values assigned to names, the place of an expression."""

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

Hit = tuple[ast.expr | ast.stmt, str]  # node, message
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Module:
    """One parsed file: its tree, the parent of each node, and the imported names."""

    def __init__(self, tree: ast.Module, path: Path) -> None:
        self.tree, self.path = tree, path
        self.parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
        self.imports: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    # `import a.b` binds a alone; uses spell out a.b
                    self.imports[name.asname or name.name.partition(".")[0]] = name.name if name.asname else name.name.partition(".")[0]
            elif isinstance(node, ast.ImportFrom) and node.module:
                for name in node.names:
                    self.imports[name.asname or name.name] = f"{node.module}.{name.name}"
        self._scopes: dict[ast.AST, Scope] = {}

    def dotted(self, node: ast.AST) -> str:
        """Full name of an expression: ``pandas.read_csv`` for ``pd.read_csv``; empty unless it is a dotted name."""
        if isinstance(node, ast.Name):
            return self.imports.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return f"{base}.{node.attr}" if base else ""
        return ""

    def imported(self, node: ast.AST) -> bool:
        """Whether the leftmost name of a dotted expression is imported."""
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and node.id in self.imports

    def function_of(self, node: ast.AST) -> Function | None:
        """The innermost function around *node*."""
        return next((outer for outer in self.outwards(node) if isinstance(outer, Function)), None)

    def outwards(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around *node*, innermost first."""
        while node in self.parents:
            node = self.parents[node]
            yield node

    def scope(self, node: ast.AST) -> "Scope":
        """The scope that *node* stands in."""
        owner = self.function_of(node) or self.tree
        if owner not in self._scopes:
            self._scopes[owner] = Scope(owner, None if owner is self.tree else self.scope(owner))
        return self._scopes[owner]


class Scope:
    """Expressions assigned to each name of a function or module; parameters have their defaults and annotations."""

    def __init__(self, owner: ast.AST, outer: "Scope | None") -> None:
        self._owner, self._outer = owner, outer

    @cached_property
    def _given(self) -> dict[str, list[ast.expr]]:
        given: dict[str, list[ast.expr]] = {}
        if isinstance(self._owner, Function):
            args = self._owner.args
            named = [*args.posonlyargs, *args.args]
            for arg in [*named, *args.kwonlyargs]:
                given[arg.arg] = []  # shadows a module-level name
            defaults = [*zip(named[len(named) - len(args.defaults) :], args.defaults, strict=True)]
            for arg, default in [*defaults, *zip(args.kwonlyargs, args.kw_defaults, strict=True)]:
                if default is not None:
                    given[arg.arg].append(default)
        for node in _inside(self._owner):
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    for name, value in _pairs(target, node.value):
                        given.setdefault(name, []).append(value)
            elif isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Name):
                values = node.iter.elts if isinstance(node.iter, ast.Tuple | ast.List) else [node.iter]
                given.setdefault(node.target.id, []).extend(values)
            elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
                given.setdefault(node.optional_vars.id, []).append(node.context_expr)
        return given

    def values(self, name: str) -> list[ast.expr]:
        """Expressions assigned to *name* in this scope, else in an outer one."""
        if name in self._given:
            return self._given[name]
        return self._outer.values(name) if self._outer else []

    def binds(self, name: str) -> bool:
        """Whether the code itself defines *name*, so that it is no built-in."""
        return name in self._given or (self._outer is not None and self._outer.binds(name))

    def annotation(self, name: str) -> str:
        """Annotation of a parameter, as text; empty without one."""
        if isinstance(self._owner, ast.FunctionDef | ast.AsyncFunctionDef):
            args = self._owner.args
            for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs]:
                if arg.arg == name:
                    return ast.unparse(arg.annotation) if arg.annotation else ""
        return self._outer.annotation(name) if self._outer else ""


def _inside(owner: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function's own body, without those of nested functions."""
    todo = list(ast.iter_child_nodes(owner))
    while todo:
        node = todo.pop(0)
        yield node
        if not isinstance(node, Function | ast.ClassDef):
            todo.extend(ast.iter_child_nodes(node))


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List) and len(target.elts) == len(value.elts):
        for part, of in zip(target.elts, value.elts, strict=True):
            yield from _pairs(part, of)


def argument(call: ast.Call, position: int, *names: str) -> ast.expr | None:
    """The argument of *call* at *position* or under one of *names*."""
    for keyword in call.keywords:
        if keyword.arg in names:
            return keyword.value
    return call.args[position] if len(call.args) > position >= 0 else None


def constant(node: ast.AST | None) -> object:
    """The value of a literal or signed number; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        return -value if isinstance(value, int | float) else None
    return node.value if isinstance(node, ast.Constant) else None


def chain(node: ast.AST) -> Iterator[ast.Call]:
    """The calls of a method chain, last first: ``x.groupby("a").rank()`` gives rank, then groupby."""
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Call):
            yield node
            node = node.func
        else:
            node = node.value


def method(call: ast.Call) -> str:
    """The last part of the name of a called function."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
