"""
Rule of the lint on whole-series statistics: rows scaled, ranked or filled by numbers that later rows helped to make.

Static analysis cannot know which value is a series, so the rule knows these shapes and no others:

- a difference, quotient, comparison, ``clip``, ``fillna`` or ``where`` that joins the rows of a series with a statistic over it, also
  by a name given once: ``(x - x.mean()) / x.std()``, ``x > np.quantile(x, 0.9)``, ``x.fillna(x.mean())``
- a statistic given to every row: ``df["m"] = df["a"].mean()``, ``df.assign(m=df["a"].mean())``, ``np.full(len(x), x.mean())``
- ``rank``, ``qcut``, ``cut`` into a number of bins, ``zscore``, ``fit_transform`` and their like
- ``groupby(key).transform("mean")`` with a key other than time

It accepts a statistic along ``axis=1``, over a trailing window, a slice, a name with "window" in it or a group of one instant, and an
expression whose last row alone is used (``z[-1]``).
"""

import ast
import re
from collections.abc import Iterator
from typing import TypeGuard

from hydra_assets.proof.lint.scope import Hit, Module, argument, chain, constant, method

_STATISTICS = {"mean", "std", "var", "min", "max", "median", "quantile", "skew", "kurt", "sem", "mad", "mode"}
_FUNCTIONS = {f"numpy.{nan}{name}" for nan in ("", "nan") for name in (*_STATISTICS, "amin", "amax", "percentile", "average", "ptp")}
_RANKING = {"rank", "qcut", "zscore", "rankdata"}
_FITTING = {"fit_transform", "minmax_scale", "robust_scale", "quantile_transform", "power_transform"}
_JOINING = {"clip", "sub", "subtract", "div", "divide", "truediv", "fillna", "fill_null", "where", "mask", "gt", "ge", "lt", "le"}
_ELEMENTWISE = {
    *("log", "log1p", "exp", "abs", "absolute", "sqrt", "sign", "nan_to_num", "asarray", "array", "astype", "float", "int", "round"),
    *("maximum", "minimum", "item", "replace", "add", "mul", "pow", *_JOINING),
}
_SAME_ROWS = {"values", "array", "to_numpy", "dropna", "drop_nulls"}
_TRAILING = {"rolling", "expanding", "ewm", "resample", "rolling_mean", "rolling_std", "tail", "head"}
TIME_KEY = re.compile(r"as_of|date|time|day|session|instant|week|available|known|\bts\b|\bt\b", re.I)
# Names of what lies side by side at one instant: strikes of a smile, weights of a portfolio.
_CROSS_SECTION = re.compile(r"\b(vols?|ivs?|implied_vols?|strikes?|smiles?|moneyness|logits?|weights?|probs?|probabilities)\b", re.I)
_NOT_A_DATE = re.compile(r"dayofweek|weekday|day_of_week|dayofyear|\.(month|week|hour|quarter|day)\b|isocalendar", re.I)


def whole_series(node: ast.AST, module: Module) -> Iterator[Hit]:
    """A statistic over all rows, used as, or in, a row's own value."""
    if _joins(node):
        series = {name for part in _operands(node, module) for name in _series(part, module)}
        series = {name for name in series if not _CROSS_SECTION.search(name)}
        if (
            series & _averaged(node, module)
            and not _is_softmax(node, module)
            and not _is_operand(node, module)
            and not _accepted(node, module)
        ):
            yield node, f"{ast.unparse(node)} joins each row with a statistic over the whole series, its future included"
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        if isinstance(constant(node.targets[0].slice), str) and _given_to_all(node.targets[0], node.value, module):
            yield node, f"{ast.unparse(node.targets[0])} gives every row a statistic over the whole series"
    elif isinstance(node, ast.Call):
        yield from _calls(node, module)


def _calls(node: ast.Call, module: Module) -> Iterator[Hit]:
    name, of = method(node), node.func.value if isinstance(node.func, ast.Attribute) else None
    if name in _RANKING | _FITTING and (of is not None or name != "rank"):
        if not (_by_row(node) or _is_trailing(node) or _over_time_key(node, module) or _accepted(node, module)):
            yield node, f"{ast.unparse(node)}: {name} uses all rows, later ones included"
    elif name == "cut" and module.dotted(node.func) == "pandas.cut" and isinstance(constant(argument(node, 1, "bins")), int):
        yield node, "pd.cut into a number of bins takes its edges from the whole series"
    elif name == "transform" and _is_statistic(how := argument(node, 0, "func"), module):
        groups = [call for call in chain(node) if method(call) == "groupby"]
        if groups and not any(_is_time_key(call) for call in groups):
            yield node, f"transform({ast.unparse(how)}) gives every row a statistic over its whole group"
    elif name == "over" and isinstance(of, ast.Call) and method(of) in (*_STATISTICS, "rank", "last", "sum") and not _is_time_key(node):
        if not _is_operand(node, module) and not _joins(module.parents[node]) and not _is_trailing(of):
            yield node, f"{method(of)}().over({', '.join(map(ast.unparse, node.args))}) gives every row a statistic over its whole group"
    elif name == "assign" and of is not None:
        for keyword in node.keywords:
            if _given_to_all(of, keyword.value, module):
                yield keyword.value, f"assign({keyword.arg}=…) gives every row a statistic over the whole series"
    elif module.dotted(node.func) in ("numpy.full", "numpy.full_like"):
        size, value = argument(node, 0, "shape", "a"), argument(node, 1, "fill_value")
        if size is not None and value is not None and _averaged(value, module) & {ast.unparse(part) for part in ast.walk(size)}:
            yield node, f"np.{name} gives every row a statistic over the whole series"


def _is_statistic(how: ast.expr | None, module: Module) -> TypeGuard[ast.expr]:
    """A statistic by its name in text, as numpy's function, or inline: ``lambda s: s - s.mean()`` is found where it stands."""
    return how is not None and (constant(how) in (*_STATISTICS, "rank", "last", "sum") or module.dotted(how) in _FUNCTIONS)


def _joins(node: ast.AST) -> TypeGuard[ast.expr]:
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Sub | ast.Div)
    return isinstance(node, ast.Compare) or (isinstance(node, ast.Call) and method(node) in _JOINING)


def _operands(node: ast.AST, module: Module) -> Iterator[ast.AST]:
    """Leaves of an elementwise expression: names, columns, and calls of any other kind."""
    parts: list[ast.AST] = []
    if isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare):
        parts = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    elif isinstance(node, ast.Call) and any(_is_softmax(arg, module) for arg in node.args):
        yield node
    elif isinstance(node, ast.Call) and method(node) in _ELEMENTWISE:
        parts = [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(node.func, ast.Attribute) and not module.imported(node.func):
            parts.append(node.func.value)
    else:
        yield node
    for part in parts:
        yield from _operands(part, module)


def _series(node: ast.AST, module: Module, depth: int = 3) -> set[str]:
    """Text of the series whose rows *node* holds: its own name, and the series that the name stands for; none for a window."""
    inner = node.func if isinstance(node, ast.Call) else node
    masked = isinstance(node, ast.Subscript) and isinstance(node.slice, ast.UnaryOp | ast.Call) and constant(node.slice) is None
    if masked or (isinstance(inner, ast.Attribute) and inner.attr in _SAME_ROWS):
        return _series(inner.value, module, depth)  # type: ignore[attr-defined]
    if isinstance(node, ast.Subscript) and (isinstance(constant(node.slice), str) or isinstance(node.slice, ast.Name)):
        return {ast.unparse(node)}
    if isinstance(node, ast.Call) and module.dotted(node.func) in ("polars.col", "polars.element"):
        return {ast.unparse(node)}
    if isinstance(node, ast.Call) and method(node) == "over" and isinstance(node.func, ast.Attribute) and not _is_time_key(node):
        return _series(node.func.value, module, depth)
    if isinstance(node, ast.Attribute):
        return {ast.unparse(node)}
    if not isinstance(node, ast.Name) or "window" in node.id.lower():
        return set()
    values = [value for value in module.scope(node).values(node.id) if value is not node] if depth else []
    behind = [_series(value, module, depth - 1) for value in values]
    windows = [_is_window(value) or (isinstance(value, ast.Name) and not found) for value, found in zip(values, behind, strict=True)]
    return set() if any(windows) else {node.id}.union(*behind)


def _averaged(node: ast.AST, module: Module, depth: int = 3) -> set[str]:
    """The series over all of whose rows an expression has a statistic."""
    found: set[str] = set()
    for part in _operands(node, module):
        while isinstance(part, ast.Subscript):  # np.percentile(x, [1, 99])[0]
            part = part.value
        if isinstance(part, ast.Name) and depth:
            values = module.scope(part).values(part.id)
            found |= _averaged(values[0], module, depth - 1) if len(values) == 1 else set()
        elif isinstance(part, ast.Call) and method(part) == "over" and isinstance(part.func, ast.Attribute) and not _is_time_key(part):
            found |= _averaged(part.func.value, module, depth)
        elif isinstance(part, ast.Call) and not _by_row(part):
            base = argument(part, 0, "a") if module.dotted(part.func) in _FUNCTIONS else None
            if method(part) in _STATISTICS and isinstance(part.func, ast.Attribute) and not module.imported(part.func):
                base = part.func.value
            found |= _series(base, module) if base is not None else set()
    return found


def _given_to_all(frame: ast.AST, value: ast.expr, module: Module) -> bool:
    """Whether *value* has a statistic over a column of the frame that it is assigned to."""
    root, *roots = (re.split(r"[.\[]", text)[0] for text in (ast.unparse(frame), *_averaged(value, module)))
    return root in roots


# ---------------------------------------------------------------- accepted shapes


def series_of(node: ast.AST, module: Module) -> set[str]:
    """Text of the series whose rows *node* holds; none for a window or what lies side by side at one instant."""
    return {name for name in _series(node, module) if not _CROSS_SECTION.search(name)}


def in_a_window(node: ast.AST, module: Module) -> bool:
    """Whether *node* stands in a function that is applied to windows or to groups of one instant, or only its last row is used."""
    return _accepted(node, module)


def _is_softmax(node: ast.AST, module: Module) -> bool:
    """``np.exp(x - x.max())``: what is taken off cancels."""
    outer = module.parents.get(node)
    largest = any(isinstance(part, ast.Call) and method(part) in ("max", "amax", "nanmax") for part in ast.walk(node))
    return largest and isinstance(node, ast.BinOp) and isinstance(outer, ast.Call) and method(outer) == "exp"


def _is_window(value: ast.AST) -> bool:
    """A slice, or a call of a window function: rows that end at the current one."""
    if isinstance(value, ast.Subscript):
        return isinstance(value.slice, ast.Slice)
    return isinstance(value, ast.Call) and ("window" in method(value).lower() or _is_trailing(value))


def _is_trailing(node: ast.AST) -> bool:
    return any(method(call) in _TRAILING or (method(call) == "groupby" and _is_time_key(call)) for call in chain(node))


def _by_row(call: ast.Call) -> bool:
    """Whether a statistic runs along the columns of a row: ``axis=1``, ``x.mean(1)``."""
    first = constant(argument(call, 0)) if method(call) in ("mean", "std", "min", "max") else None
    return constant(argument(call, -1, "axis")) in (1, -1, "columns") or first == 1


def _is_time_key(call: ast.Call) -> bool:
    keys = " ".join(ast.unparse(part) for part in [*call.args, *(keyword.value for keyword in call.keywords)])
    return bool(TIME_KEY.search(keys)) and not _NOT_A_DATE.search(keys)


def _over_time_key(node: ast.AST, module: Module) -> bool:
    """``.rank().over("as_of")`` of polars."""
    over, call = [*module.outwards(node)][:2]
    return isinstance(over, ast.Attribute) and over.attr == "over" and isinstance(call, ast.Call) and _is_time_key(call)


def _is_operand(node: ast.AST, module: Module) -> bool:
    """Whether *node* is part of a larger expression of these shapes, which is reported instead."""
    outer = module.parents[node]
    elementwise = isinstance(outer, ast.BinOp | ast.UnaryOp | ast.Attribute) or (
        isinstance(outer, ast.Call) and method(outer) in _ELEMENTWISE
    )
    return _joins(outer) or (elementwise and _is_operand(outer, module))


def _accepted(node: ast.AST, module: Module) -> bool:
    """Whether only the last row of *node* is used, or it stands in a lambda over windows or groups of one instant."""
    for outer in module.outwards(node):
        if isinstance(outer, ast.Subscript) and constant(outer.slice) == -1:
            return True
        if isinstance(outer, ast.Lambda) and isinstance(call := module.parents[outer], ast.Call) and _is_trailing(call):
            return True
        if isinstance(outer, ast.stmt):
            target = outer.targets[0] if isinstance(outer, ast.Assign) else None
            return isinstance(target, ast.Name) and _only_its_last(target.id, outer, module)
    return False


def _only_its_last(name: str, given: ast.stmt, module: Module) -> bool:
    """Whether every use of *name* in its function is ``name[-1]`` or ``name.iloc[-1]``."""
    owner = module.function_of(given) or module.tree
    uses = [module.parents[n] for n in ast.walk(owner) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]
    uses = [module.parents[o] if isinstance(o, ast.Attribute) and o.attr in ("iloc", "iat", "values") else o for o in uses]
    return bool(uses) and all(isinstance(o, ast.Subscript) and constant(o.slice) == -1 for o in uses)
