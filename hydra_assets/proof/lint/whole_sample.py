"""The lint's rule on whole-series statistics: a row scaled, ranked or filled by numbers that its future helped to make."""

import ast
import re
from collections.abc import Iterator

from hydra_assets.proof.lint.scope import Hit, Module, argument, chain, constant, method

_STATISTICS = {"mean", "std", "var", "min", "max", "median", "quantile", "skew", "kurt", "sem", "mad", "mode"}
_FUNCTIONS = {
    f"numpy.{prefix}{name}"
    for prefix in ("", "nan")
    for name in ("mean", "std", "var", "min", "max", "amin", "amax", "median", "quantile", "percentile", "average", "ptp")
}
_WHOLE = {"qcut", "zscore", "rankdata", "fit_transform", "minmax_scale", "robust_scale", "quantile_transform", "power_transform"}
_FILLING = {"clip", "sub", "subtract", "div", "divide", "truediv", "fillna", "fill_null", "where", "mask", "gt", "ge", "lt", "le"}
_TRAILING = {"rolling", "expanding", "ewm", "resample", "rolling_mean", "rolling_std", "tail", "head"}
_ELEMENTWISE = {
    "log", "log1p", "exp", "abs", "absolute", "sqrt", "sign", "nan_to_num", "asarray", "array", "astype", "to_numpy", "float", "round",
}  # fmt: skip
_ARITHMETIC = {*_ELEMENTWISE, "int", "maximum", "minimum", "where", "item", "replace", "add", "sub", "mul", "div", "pow"}
_TIME_KEY = re.compile(r"as_of|date|time|day|session|instant|week|available|known|\bts\b|\bt\b", re.I)
_NOT_A_DATE = re.compile(r"dayofweek|weekday|day_of_week|dayofyear|\.(month|week|hour|quarter|day)\b|isocalendar", re.I)


def whole_series(node: ast.AST, module: Module) -> Iterator[Hit]:
    """A statistic over all rows, used as, or in, a row's own value."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div):
        if not _inside_another(node, module) and _mixes(node, module):
            yield from _unless_last_or_grouped(node, module, "scales each row by a statistic over the whole series, its future included")
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        if any(_vectors(a, module) & _statistics(b, module) for a in sides for b in sides if a is not b):
            yield from _unless_last_or_grouped(node, module, "compares each row with a statistic over the whole series")
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        frame = _frame_of(node.targets[0])
        if frame and any(frame == _frame_name(base) for base in _statistic_bases(node.value, module)):
            yield node, f"{ast.unparse(node.targets[0])} gives every row a statistic over the whole series"
    elif isinstance(node, ast.Call):
        yield from _calls(node, module)


def _calls(node: ast.Call, module: Module) -> Iterator[Hit]:
    name = method(node)
    if name == "rank" and isinstance(node.func, ast.Attribute):
        if not _by_row(node) and not _trailing(node.func.value) and not _over_time_key(node, module):
            yield from _unless_last_or_grouped(node, module, "ranks each row among all rows, later ones included")
    elif name == "cut" and module.dotted(node.func) == "pandas.cut" and isinstance(constant(argument(node, 1, "bins")), int):
        yield node, "pd.cut into a number of bins takes its edges from the whole series"
    elif name in _WHOLE and not _by_row(node):
        yield from _unless_last_or_grouped(node, module, f"{name} uses the whole series, later rows included")
    elif name == "transform" and constant(argument(node, 0, "func")) in (*_STATISTICS, "rank", "last", "sum"):
        groups = [call for call in chain(node) if method(call) == "groupby"]
        if groups and not any(_is_time_key(call) for call in groups):
            yield node, f"transform({constant(argument(node, 0, 'func'))!r}) gives every row a statistic over its whole group"
    elif name == "assign":
        frame = _frame_name(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        for keyword in node.keywords:
            if frame and any(frame == _frame_name(base) for base in _statistic_bases(keyword.value, module)):
                yield keyword.value, f"assign({keyword.arg}=…) gives every row a statistic over the whole series"
    elif name in ("full", "full_like") and module.dotted(node.func).startswith("numpy."):
        size, value = argument(node, 0, "shape", "a"), argument(node, 1, "fill_value")
        if size is not None and value is not None:
            sized = {ast.dump(part) for part in ast.walk(size) if isinstance(part, ast.expr)}
            if any(ast.dump(base) in sized for base in _statistic_bases(value, module)):
                yield node, f"np.{name} gives every row a statistic over the whole series"
    elif name in _FILLING and isinstance(node.func, ast.Attribute):
        # x.clip(x.quantile(…)), x.fillna(x.mean()); np.where and np.clip take the series as an argument.
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        vectors = _vectors(node.func.value, module) if not module.imported(node.func) else set()
        for part in given if module.imported(node.func) else []:
            vectors |= _vectors(part, module)
        if any(vectors & _statistics(part, module) for part in given):
            yield from _unless_last_or_grouped(node, module, f"{name} treats each row by a statistic over the whole series")


# ---------------------------------------------------------------- what is a series, what a statistic over it


def _mixes(node: ast.BinOp, module: Module) -> bool:
    left, right = node.left, node.right
    return bool(
        _vectors(left, module) & _statistics(right, module)
        or _vectors(right, module) & _statistics(left, module)
        or any(isinstance(part, ast.BinOp) and _mixes(part, module) for part in (left, right))
    )


def _vectors(node: ast.AST, module: Module) -> set[str]:
    """The series that *node* holds row by row."""
    if isinstance(node, ast.BinOp):
        return _vectors(node.left, module) | _vectors(node.right, module)
    if isinstance(node, ast.UnaryOp):
        return _vectors(node.operand, module)
    if isinstance(node, ast.Call):
        if method(node) in _ELEMENTWISE:
            parts = [*node.args, *([node.func.value] if isinstance(node.func, ast.Attribute) and not module.imported(node.func) else [])]
            return {name for part in parts for name in _vectors(part, module)}
        return set()
    if isinstance(node, ast.Attribute) and node.attr in ("values", "array"):
        return _vectors(node.value, module)
    return {ast.dump(node)} if _is_series(node) else set()


def _statistics(node: ast.AST, module: Module) -> set[str]:
    """The series over all of whose rows *node* has a statistic."""
    return {ast.dump(base) for base in _statistic_bases(node, module)}


def _statistic_bases(node: ast.AST, module: Module, depth: int = 3) -> list[ast.AST]:
    found: list[ast.AST] = []
    for part in _parts(node):
        if isinstance(part, ast.Name) and depth:
            values = module.scope(part).values(part.id)
            if len(values) == 1 and not _is_series(values[0]):
                found += _statistic_bases(values[0], module, depth - 1)
        if not isinstance(part, ast.Call) or _by_row(part):
            continue
        base: ast.AST | None = None
        if module.dotted(part.func) in _FUNCTIONS:
            base = argument(part, 0, "a")
        elif method(part) in _STATISTICS and isinstance(part.func, ast.Attribute) and not module.imported(part.func):
            base = part.func.value
        while base is not None:
            if _is_series(base) and not _is_window(base, module):
                found.append(base)
            base = _without_gaps(base, module)
    return found


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of an arithmetic expression; not what is inside an index, a statistic or a call that may return anything."""
    yield node
    if isinstance(node, ast.Subscript):
        yield from _parts(node.value)
    elif isinstance(node, ast.Call):
        if method(node) in _ARITHMETIC:
            inner = [node.func.value] if isinstance(node.func, ast.Attribute) else []
            for part in [*node.args, *(keyword.value for keyword in node.keywords), *inner]:
                yield from _parts(part)
    elif not isinstance(node, ast.Lambda | ast.Attribute | ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp):
        for child in ast.iter_child_nodes(node):
            yield from _parts(child)


def _is_series(node: ast.AST) -> bool:
    """A name, an attribute, or a column by its name."""
    if isinstance(node, ast.Subscript):
        return isinstance(constant(node.slice), str) or isinstance(node.slice, ast.Name)
    return isinstance(node, ast.Name | ast.Attribute)


def _without_gaps(node: ast.AST, module: Module) -> ast.AST | None:
    """The series of which *node* is all that is known: ``x[~np.isnan(x)]``, ``x.dropna()``, and a name for either."""
    if isinstance(node, ast.Name):
        values = module.scope(node).values(node.id)
        return _without_gaps(values[0], module) if len(values) == 1 else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("dropna", "drop_nulls", "to_numpy"):
        return node.func.value
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.UnaryOp | ast.Call) and constant(node.slice) is None:
        return node.value
    return None


def _is_window(node: ast.AST, module: Module, depth: int = 3) -> bool:
    """A name given a slice, or a window by its name: rows that end at the row asked for."""
    if not isinstance(node, ast.Name) or not depth:
        return False
    if "window" in node.id.lower():
        return True
    for value in module.scope(node).values(node.id):
        if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Slice):
            return True
        if isinstance(value, ast.Call) and ("window" in method(value).lower() or _trailing(value)):
            return True
        if value is not node and (
            _is_window(value, module, depth - 1) or _is_window(_without_gaps(value, module) or value, module, depth - 1)
        ):
            return True
    return False


# ---------------------------------------------------------------- what is no fault


def _trailing(node: ast.AST) -> bool:
    return any(method(call) in _TRAILING or (method(call) == "groupby" and _is_time_key(call)) for call in chain(node))


def _by_row(call: ast.Call) -> bool:
    """Along the other axis: of one instant, or of windows laid out as rows."""
    axis = constant(argument(call, 1 if not isinstance(call.func, ast.Attribute) else -1, "axis"))
    first = constant(argument(call, 0)) if isinstance(call.func, ast.Attribute) and method(call) in ("mean", "std", "min", "max") else None
    return axis in (1, -1, "columns", "index_level") or (first == 1 and not isinstance(first, bool))


def _is_time_key(call: ast.Call) -> bool:
    keys = " ".join(ast.unparse(part) for part in [*call.args, *(keyword.value for keyword in call.keywords)])
    return bool(_TIME_KEY.search(keys)) and not _NOT_A_DATE.search(keys)


def _over_time_key(node: ast.AST, module: Module) -> bool:
    """``.rank().over("as_of")`` of polars."""
    for outer in module.outwards(node):
        if isinstance(outer, ast.Call) and method(outer) == "over":
            return _is_time_key(outer)
        if not isinstance(outer, ast.Attribute | ast.Call | ast.BinOp):
            break
    return False


def _inside_another(node: ast.AST, module: Module) -> bool:
    """Part of a greater expression of the kind, which is told in its place."""
    outer = module.parents.get(node)
    return isinstance(outer, ast.BinOp) and isinstance(outer.op, ast.Sub | ast.Div | ast.Mult | ast.Add) and _is_mixing(outer, module)


def _is_mixing(node: ast.BinOp, module: Module) -> bool:
    return isinstance(node.op, ast.Sub | ast.Div) or _inside_another(node, module)


def _unless_last_or_grouped(node: ast.expr, module: Module, what: str) -> Iterator[Hit]:
    """Not where the last row alone is used, nor inside what is done window by window or instant by instant."""
    top: ast.AST = node
    for outer in module.outwards(node):
        if isinstance(outer, ast.Subscript) and outer.value is top and _is_last(outer):
            return
        if isinstance(outer, ast.Lambda):
            call = module.parents.get(outer)
            if isinstance(call, ast.Call) and _trailing(call):
                return
        if isinstance(outer, ast.Assign) and len(outer.targets) == 1 and isinstance(outer.targets[0], ast.Name):
            if _only_its_last(outer.targets[0].id, outer, module):
                return
            break
        if isinstance(outer, ast.stmt):
            break
        if isinstance(outer, ast.BinOp | ast.Attribute | ast.UnaryOp) or (isinstance(outer, ast.Call) and method(outer) in _ELEMENTWISE):
            top = outer
    yield node, f"{ast.unparse(node)} {what}"


def _is_last(node: ast.Subscript) -> bool:
    return constant(node.slice) == -1


def _only_its_last(name: str, given: ast.Assign, module: Module) -> bool:
    owner = module.function_of(given) or module.tree
    loads = [n for n in ast.walk(owner) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)]

    def last(load: ast.AST) -> bool:
        outer = module.parents.get(load)
        if isinstance(outer, ast.Attribute) and outer.attr in ("iloc", "iat", "values"):
            outer = module.parents.get(outer)
        return isinstance(outer, ast.Subscript) and _is_last(outer)

    return bool(loads) and all(last(load) for load in loads)


def _frame_of(target: ast.expr) -> str:
    """``df`` of ``df["column"]``."""
    return _frame_name(target.value) if isinstance(target, ast.Subscript) and isinstance(constant(target.slice), str) else ""


def _frame_name(node: ast.AST) -> str:
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""
