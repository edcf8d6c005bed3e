"""Rules of the lint that are tables of idioms: reversed order, left edges, shuffled splits, models fitted on all, joins, SQL, eval."""

import ast
import re
from collections.abc import Iterator

from hydra_assets.proof.lint.scope import Hit, Module, argument, chain, constant, method
from hydra_assets.proof.lint.whole_sample import TIME_KEY, in_a_window, series_of

_RUNNING = {
    "rolling", "ewm", "expanding", "cumsum", "cumprod", "cummax", "cummin", "cumcount", "shift", "diff", "pct_change", "ffill",
    "cum_sum", "cum_prod", "cum_max", "cum_min", "forward_fill", "rolling_mean", "rolling_sum", "rolling_std", "rolling_max", "rolling_min",
}  # fmt: skip
_RUNNING_FUNCTIONS = {
    "numpy.cumsum", "numpy.cumprod", "numpy.nancumsum", "numpy.maximum.accumulate", "numpy.minimum.accumulate", "numpy.add.accumulate",
    "itertools.accumulate",
}  # fmt: skip
_REVERSING = {"flip", "flipud", "reversed", "reverse"}


def reversed_order(node: ast.AST, module: Module) -> Iterator[Hit]:
    """A running operation over rows in descending order of time."""
    if not isinstance(node, ast.Call):
        return
    name = method(node)
    if name.startswith("cum_") and constant(argument(node, -1, "reverse")) is True:
        yield node, f"{name}(reverse=True) runs from the last row to the first"
        return
    if module.dotted(node.func) in _RUNNING_FUNCTIONS or (name.startswith("move_") and node.args):
        base: ast.AST | None = argument(node, 0)
    elif name in ("with_columns", "select") and isinstance(node.func, ast.Attribute):
        runs = any(isinstance(part, ast.Call) and method(part) in _RUNNING for arg in node.args for part in ast.walk(arg))
        base = node.func.value if runs else None
    elif name in _RUNNING and isinstance(node.func, ast.Attribute):
        base = node.func.value
    else:
        return
    if base is not None and _reversed(base, module):
        yield node, f"{name} over rows in reversed order: its windows reach into later rows"


def _reversed(node: ast.AST, module: Module, depth: int = 3) -> bool:
    odd = False
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Subscript):
            odd ^= isinstance(node.slice, ast.Slice) and constant(node.slice.step) == -1
            node = node.value
        elif isinstance(node, ast.Attribute):
            node = node.value
        elif isinstance(node.func, ast.Attribute) and not module.imported(node.func):
            odd ^= _sorts_down(node) or method(node) in _REVERSING
            node = node.func.value
        else:
            odd ^= method(node) in _REVERSING
            node = node.args[0] if node.args else node.func
    if isinstance(node, ast.Name) and depth:
        values = module.scope(node).values(node.id)
        odd ^= len(values) == 1 and values[0] is not node and _reversed(values[0], module, depth - 1)
    return odd


def _sorts_down(call: ast.Call) -> bool:
    name = method(call)
    if name == "sort_index":
        return constant(argument(call, -1, "ascending")) is False
    if name not in ("sort_values", "sort", "sort_by"):
        return False
    down = constant(argument(call, -1, "ascending")) is False or constant(argument(call, -1, "descending", "reverse")) is True
    return down and bool(TIME_KEY.search(" ".join(ast.unparse(arg) for arg in [*call.args, *(k.value for k in call.keywords)])))


_BARS = {"last", "ohlc", "sum", "mean", "max", "min", "agg", "aggregate", "std", "median", "count", "close"}
_RIGHT_BY_DEFAULT = re.compile(r"^\d*(M|ME|BM|BME|Q|QE|BQE|Y|YE|A|BYE|W)(-[A-Z]+)?$")


def left_edge(node: ast.AST, module: Module) -> Iterator[Hit]:
    """A bar stamped with the instant at which it begins."""
    if isinstance(node, ast.Call) and method(node) == "groupby" and _begins_of_bars(node):
        if {method(call) for outer in module.outwards(node) if isinstance(outer, ast.Call) for call in chain(outer)} & _BARS:
            yield node, "groupby by the beginning of a bar stamps it so: what happened inside is read before it did"
        return
    if not isinstance(node, ast.Call) or method(node) not in ("resample", "group_by_dynamic", "groupby_dynamic"):
        return
    label = constant(argument(node, -1, "label"))
    rule = constant(argument(node, 0 if method(node) == "resample" else 1, "rule", "every"))
    right = isinstance(rule, str) and method(node) == "resample" and _RIGHT_BY_DEFAULT.match(rule)
    if label == "right" or (label is None and right):
        return
    later = [part for outer in module.outwards(node) if isinstance(outer, ast.Call) for part in chain(outer)]
    names = {method(call) for call in later}
    shifted = any(method(call) == "shift" and not _negative_text(call) for call in later)
    if names & _BARS and not shifted:
        yield node, f"{method(node)} stamps each bar with its beginning: what happened inside is read before it did"


def _begins_of_bars(call: ast.Call) -> bool:
    """Whether rows are grouped by ``pd.Grouper`` without a right label, or by an index that is rounded down."""
    for part in (part for arg in call.args for part in ast.walk(arg) if isinstance(part, ast.Call)):
        if method(part) == "Grouper" and argument(part, -1, "freq") is not None and constant(argument(part, -1, "label")) != "right":
            return True
        if method(part) in ("floor", "normalize") and "index" in ast.unparse(part.func):
            return True
    return False


def _negative_text(call: ast.Call) -> bool:
    return any(ast.unparse(part).lstrip("'\"").startswith("-") for part in [*call.args, *(k.value for k in call.keywords)])


def shuffled_split(node: ast.AST, module: Module) -> Iterator[Hit]:
    """Rows of the future among those that a model is fitted on."""
    if not isinstance(node, ast.Call):
        return
    name, shuffle = method(node), constant(argument(node, -1, "shuffle"))
    if name == "train_test_split" and shuffle is not False:
        yield node, "train_test_split shuffles: later rows are fitted on and earlier ones judged"
    elif name in ("KFold", "StratifiedKFold", "GroupKFold") and shuffle is True:
        yield node, f"{name}(shuffle=True) fits on rows later than those judged"
    elif name in ("ShuffleSplit", "StratifiedShuffleSplit", "GroupShuffleSplit"):
        yield node, f"{name} fits on rows later than those judged"
    elif name in ("cross_val_predict", "cross_val_score", "cross_validate") and argument(node, 3, "cv") is None:
        yield node, f"{name} without cv=TimeSeriesSplit(…) fits on rows later than those judged"
    elif name == "sample" and constant(argument(node, -1, "frac", "fraction")) in (1, 1.0) and isinstance(node.func, ast.Attribute):
        yield node, "sample of everything shuffles the rows' order in time"


_OF_THE_FIT = {"fittedvalues", "resid", "smoothed_state", "smoothed_trend"}
_FITTED_USES = {"transform", "predict", "predict_proba", "score_samples", "decision_function"}


def fitted_on_all(node: ast.AST, module: Module) -> Iterator[Hit]:
    """A model or scaler fitted on the rows that it is then applied to."""
    if (
        isinstance(node, ast.Attribute)
        and node.attr in _OF_THE_FIT
        and any(method(call) in ("fit", "smooth") for call in chain(node.value))
    ):
        yield node, f"{node.attr} of a fit over the whole series: each row knows the later ones"
    if not isinstance(node, ast.Call):
        return
    name = method(node)
    if name in _FITTED_USES and isinstance(node.func, ast.Attribute) and node.args:
        given = ast.unparse(node.args[0])
        for fit in _fits(node.func.value, module):
            if fit.args and ast.unparse(fit.args[0]) == given and not isinstance(node.args[0], ast.Lambda):
                yield node, f"{name}({given}) of what was fitted on {given}: each row knows the later ones"
                return
    elif module.dotted(node.func) in (
        "numpy.polyfit",
        "numpy.polynomial.polynomial.polyfit",
        "scipy.stats.linregress",
        "numpy.linalg.lstsq",
    ):
        rows = {text for arg in node.args[:2] for text in series_of(arg, module)}
        if rows and not in_a_window(node, module):
            yield node, f"{name} over the whole series: its coefficients know every row"
    elif (
        name == "describe" and isinstance(node.func, ast.Attribute) and isinstance(module.parents.get(node), ast.Subscript | ast.Attribute)
    ):
        yield node, "describe() gives statistics over the whole series"


def _fits(node: ast.AST, module: Module, depth: int = 3) -> Iterator[ast.Call]:
    for call in chain(node):
        if method(call) == "fit":
            yield call
    if isinstance(node, ast.Name) and depth:
        for value in module.scope(node).values(node.id):
            if value is not node:
                yield from _fits(value, module, depth - 1)
        owner = module.function_of(node) or module.tree
        for other in ast.walk(owner):
            fits = isinstance(other, ast.Call) and method(other) == "fit" and isinstance(other.func, ast.Attribute)
            if fits and ast.unparse(other.func.value) == node.id:  # type: ignore[attr-defined]
                yield other  # type: ignore[misc]


_JOINS = {"merge_asof", "join_asof", "merge", "join"}


def join_on_as_of(node: ast.AST, module: Module) -> Iterator[Hit]:
    """Rows joined by the day that they describe, in place of the instant from which they were known."""
    if not isinstance(node, ast.Call) or method(node) not in _JOINS:
        return
    for keyword in node.keywords:
        if keyword.arg in ("on", "right_on", "left_on") and _names(keyword.value) == {"as_of"}:
            yield node, f"{method(node)}({keyword.arg}='as_of') joins by the day described: the row may have been published later"
            return
    if method(node) == "join" and node.args and _indexed_by_as_of(node.args[0]):
        yield node, "join on an index of as_of joins by the day described: the row may have been published later"


def _indexed_by_as_of(node: ast.AST) -> bool:
    return any(method(call) == "set_index" and constant(argument(call, 0, "keys")) == "as_of" for call in chain(node))


def _names(node: ast.expr) -> set[object]:
    return {constant(part) for part in node.elts} if isinstance(node, ast.List | ast.Tuple) else {constant(node)}


_SQL = re.compile(r"\bselect\b|\bover\s*\(", re.I)
_AHEAD = (
    (re.compile(r"\blead\s*\(", re.I), "lead(…) takes a later row"),
    (re.compile(r"\b(\d+|unbounded)\s+following\b", re.I), "a window to FOLLOWING rows reaches ahead"),
    (
        re.compile(r"\b(avg|sum|min|max|count|median|stddev\w*|variance|var_\w+)\s*\([^()]*\)\s*over\s*\(\s*\)", re.I),
        "over () takes every row",
    ),
    (re.compile(r"\blag\s*\([^()]*,\s*-\s*\d", re.I), "lag(…, -n) takes a later row"),
    (re.compile(r"\bover\s*\([^)]*order\s+by\s+\S*(as_of|date|time|day|ts)\S*\s+desc", re.I), "a window in descending order reaches ahead"),
)


def sql_ahead(node: ast.AST, module: Module) -> Iterator[Hit]:
    """Later rows taken in SQL text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and not isinstance(module.parents.get(node), ast.Expr):
        found = _AHEAD if _SQL.search(node.value) else ()
        yield from ((node, f"SQL: {message}") for pattern, message in found if pattern.search(node.value))


def evaluated(node: ast.AST, module: Module) -> Iterator[Hit]:
    """Code in text, which the lint cannot read."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec", "compile"):
        if not module.scope(node).binds(node.func.id):
            yield node, f"{node.func.id}(…) runs code that is not read here"
    elif isinstance(node, ast.Call) and method(node) in ("eval", "query") and isinstance(node.func, ast.Attribute):
        text = constant(argument(node, 0, "expr"))
        if module.dotted(node.func) == "pandas.eval" or (isinstance(text, str) and re.search(r"\.\w+\(|\bmean\b|\bstd\b", text)):
            yield node, f"{ast.unparse(node.func)}(…) runs code that is not read here"
