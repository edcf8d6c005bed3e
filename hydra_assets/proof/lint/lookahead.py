"""Rules of the lint on later rows: negative shifts, loops that index ahead, centred windows, backward fills."""

import ast
from collections.abc import Iterator

from hydra_assets.proof.lint.scope import Function, Hit, Module, argument, constant, method


def negative_shift(node: ast.AST, module: Module) -> Iterator[Hit]:
    """A later row moved to an earlier one, by a shift, a slice or a loop index."""
    if isinstance(node, ast.Call):
        name = method(node)
        if name in ("shift", "diff", "pct_change") and isinstance(node.func, ast.Attribute):
            by = argument(node, 0, "periods", "n")
            frequency = argument(node, 1, "freq") if name == "shift" else None
            if by is not None and _negative(by, module):
                yield node, f".{name}({ast.unparse(by)}) puts a later row's value into an earlier row"
            elif name == "diff" and argument(node, -1, "append") is not None:
                yield node, "diff(append=…) gives each row the step to the next one"
            elif frequency is not None and _back_in_time(frequency, module):
                yield node, f".{name}(freq={ast.unparse(frequency)}) puts a later row's value into an earlier row"
        elif name in _BY_NAME and constant(argument(node, 0, "func")) in ("shift", "diff", "pct_change"):
            by = argument(node, 1, "periods", "n")
            if by is not None and _negative(by, module):
                yield node, f".{name}({ast.unparse(node.args[0])}, {ast.unparse(by)}) puts a later row's value into an earlier row"
        elif name in ("shift_and_fill", "tshift") and isinstance(node.func, ast.Attribute):
            if (by := argument(node, 0, "n", "periods")) is not None and _negative(by, module):
                yield node, f".{name}({ast.unparse(by)}) puts a later row's value into an earlier row"
        elif module.dotted(node.func) in _JOINED_ENDS and _begins_later(node.args[0] if node.args else None):
            yield node, f"{ast.unparse(node)}: each row is given the one after it"
        elif _by_getattr(node) in ("shift", "diff", "pct_change") and node.args and _negative(node.args[0], module):
            yield node, f"{ast.unparse(node)} puts a later row's value into an earlier row"
        elif name == "reset_index" and isinstance(node.func, ast.Attribute) and _begins_later(node.func.value):
            if constant(argument(node, -1, "drop")) is True:
                yield node, f"{ast.unparse(node)}: each row is given the one after it"
        elif name == "take" and any(_later_places(part, module) for part in [*node.args, *(k.value for k in node.keywords)]):
            yield node, f"{ast.unparse(node)} takes a later row for each row"
        elif module.dotted(node.func) in ("zip", "itertools.zip_longest") or (name == "zip" and isinstance(node.func, ast.Name)):
            texts = {ast.unparse(arg) for arg in node.args}
            if any(_begins_later(arg) and isinstance(arg, ast.Subscript) and ast.unparse(arg.value) in texts for arg in node.args):
                yield node, f"{ast.unparse(node)}: each row is paired with a later one"
        elif module.dotted(node.func) in ("numpy.roll", "jax.numpy.roll", "torch.roll"):
            by = argument(node, 1, "shift")
            if by is not None and any(_negative(part, module) for part in (by.elts if isinstance(by, ast.Tuple) else [by])):
                yield node, f"np.roll by {ast.unparse(by)} puts a later row's value into an earlier row"
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        if (
            module.dotted(node.value) in ("numpy.r_", "numpy.c_")
            and isinstance(node.slice, ast.Tuple)
            and _begins_later(node.slice.elts[0])
        ):
            yield node, f"{ast.unparse(node)}: each row is given the one after it"
        if _later_places(node.slice, module):
            yield node, f"{ast.unparse(node)} takes a later row for each row"
        yield from _ahead_of_the_loop(node, module)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and isinstance(node.right, ast.List) and _begins_later(node.left):
        yield node, f"{ast.unparse(node)}: each row is given the one after it"
    elif isinstance(node, ast.Assign | ast.AugAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        # y[:-1] = x[1:] gives every row the one after it
        rows = _slice_of(target)
        if rows is not None and _number(rows.upper) < 0 and not _slice_start(target):
            for part in ast.walk(node.value):
                taken = _slice_of(part)
                if taken is not None and taken.upper is None and _slice_start(part) > 0:
                    yield node, f"{ast.unparse(target)} is filled from {ast.unparse(part)}: each row with a later one"
                    break


def _by_getattr(node: ast.Call) -> object:
    """The name in ``getattr(x, name)(…)``."""
    inner = node.func
    is_getattr = isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id == "getattr"
    return constant(argument(inner, 1)) if is_getattr and isinstance(inner, ast.Call) else None


def _later_places(node: ast.AST, module: Module) -> bool:
    """Whether an index is ``np.arange(…) + 1``, also inside of another expression."""
    for part in ast.walk(node):
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Add):
            sides = ((part.left, part.right), (part.right, part.left))
            if any(isinstance(a, ast.Call) and module.dotted(a.func) == "numpy.arange" and _number(b) > 0 for a, b in sides):
                return True
    return False


_BY_NAME = {"transform", "apply", "agg", "aggregate", "pipe"}
_JOINED_ENDS = {"numpy.append", "numpy.concatenate", "numpy.hstack", "numpy.vstack", "numpy.pad", "pandas.concat"}


def _begins_later(node: ast.AST | None) -> bool:
    """Whether an expression is ``x[1:]``, or a list or tuple that begins with it."""
    if isinstance(node, ast.List | ast.Tuple):
        return bool(node.elts) and _begins_later(node.elts[0])
    if isinstance(node, ast.Call) and method(node) in ("list", "tuple", "array", "asarray", "to_numpy", "tolist"):
        return _begins_later(
            node.func.value if isinstance(node.func, ast.Attribute) and not node.args else node.args[0] if node.args else None
        )
    if isinstance(node, ast.Attribute) and node.attr in ("values", "iloc"):
        return _begins_later(node.value)
    rows = _slice_of(node) if node is not None else None
    return rows is not None and rows.upper is None and rows.step is None and _number(rows.lower) > 0


def _back_in_time(node: ast.expr, module: Module, depth: int = 3) -> bool:
    """Whether a frequency is negative: ``"-1D"``, ``-BDay()``, ``pd.Timedelta(-1, "D")``."""
    value = constant(node)
    if isinstance(value, str):
        return value.strip().startswith("-")
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return not _back_in_time(node.operand, module, depth)
    if isinstance(node, ast.Call):
        parts = [*node.args, *(keyword.value for keyword in node.keywords)]
        return any(_negative(part, module) or (isinstance(constant(part), str) and _back_in_time(part, module)) for part in parts)
    if isinstance(node, ast.Name) and depth:
        return any(_back_in_time(value, module, depth - 1) for value in module.scope(node).values(node.id) if value is not node)
    return False


def _negative(node: ast.expr, module: Module, depth: int = 3) -> bool:
    number = constant(node)
    if isinstance(number, int | float):
        return number < 0
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        # minus a name that holds a negative number is positive
        return not _negative(node.operand, module, depth)
    if isinstance(node, ast.Name) and depth:
        return any(_negative(value, module, depth - 1) for value in module.scope(node).values(node.id))
    return False


def _ahead_of_the_loop(node: ast.Subscript, module: Module) -> Iterator[Hit]:
    """``.iloc[i + 1]`` in a loop over i, or any ``out[i] = … x[i + 1]``."""
    index = node.slice
    bounds = [index.lower] if isinstance(index, ast.Slice) else [index]
    ahead = max((_plus(bound, name) for bound in bounds for name in _loop_names(node, module)), default=0)
    end = index.upper if isinstance(index, ast.Slice) else None
    ahead = max([ahead, *(_plus(end, name) - 1 for name in _loop_names(node, module))])  # a slice ends before its upper bound
    if ahead <= 0:
        return
    if isinstance(node.value, ast.Attribute) and node.value.attr in ("iloc", "iat"):
        if ahead > _stored_at(node, module, 0):
            yield node, f"{ast.unparse(node)} is {ahead} row(s) ahead of the loop's own"
    elif ahead > _stored_at(node, module, ahead):
        yield node, f"{ast.unparse(node)} is {ahead} row(s) ahead of the row that is filled"


def _plus(node: ast.AST | None, name: str) -> int:
    """The k of ``name + k``; 0 for any other expression."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for a, b in ((node.left, node.right), (node.right, node.left)):
            number = constant(b)
            if isinstance(a, ast.Name) and a.id == name and isinstance(number, int):
                return number
    return 0


def _loop_names(node: ast.AST, module: Module) -> set[str]:
    names = set()
    for outer in module.outwards(node):
        loops = outer.generators if isinstance(outer, ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp) else [outer]
        for loop in loops:
            if (
                isinstance(loop, ast.For | ast.comprehension)
                and isinstance(loop.iter, ast.Call)
                and method(loop.iter) in ("range", "enumerate")
            ):
                first = loop.target.elts[0] if isinstance(loop.target, ast.Tuple) and loop.target.elts else loop.target
                if isinstance(first, ast.Name):
                    names.add(first.id)
        if isinstance(outer, Function):
            break
    return names


def _stored_at(node: ast.AST, module: Module, otherwise: int) -> int:
    """Offset from the loop index of the row that the statement around *node* fills."""
    for outer in module.outwards(node):
        if isinstance(outer, ast.Assign | ast.AugAssign):
            target = outer.targets[0] if isinstance(outer, ast.Assign) else outer.target
            loops = _loop_names(node, module)
            if isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Slice | ast.Constant):
                used = {part.id for part in ast.walk(target.slice) if isinstance(part, ast.Name)}
                if used & loops:
                    return max(_plus(target.slice, name) for name in loops)
            return otherwise
        if isinstance(outer, ast.stmt):
            return otherwise
    return otherwise


def _slice_of(node: ast.AST) -> ast.Slice | None:
    if isinstance(node, ast.Subscript):
        if isinstance(node.slice, ast.Slice):
            return node.slice
        if isinstance(node.slice, ast.Tuple) and node.slice.elts and isinstance(node.slice.elts[0], ast.Slice):
            return node.slice.elts[0]
    return None


def _slice_start(node: ast.AST) -> int:
    part = _slice_of(node)
    return _number(part.lower) if part is not None and part.step is None else 0


def _number(node: ast.AST | None) -> int:
    value = constant(node)
    return value if isinstance(value, int) else 0


_TWO_SIDED = {
    "savgol_filter", "filtfilt", "sosfiltfilt", "gaussian_filter1d", "uniform_filter1d", "medfilt", "hpfilter", "bkfilter", "cffilter",
    "seasonal_decompose", "STL", "MSTL", "lowess", "detrend", "FixedForwardWindowIndexer", "gradient", "find_peaks", "find_peaks_cwt",
    "argrelextrema", "argrelmax", "argrelmin", "hilbert", "wiener", "UnivariateSpline", "CubicSpline", "make_smoothing_spline",
    "make_interp_spline", "interp1d", "wavedec", "rts_smoother", "ifft", "irfft", "KalmanSmoother",
}  # fmt: skip


def centred_window(node: ast.AST, module: Module) -> Iterator[Hit]:
    """A window that reaches into later rows."""
    if not isinstance(node, ast.Call):
        return
    name = method(node)
    if name.startswith("rolling"):
        centred = argument(node, 2 if name == "rolling" else -1, "center")
        if centred is not None and _always_true(centred, module):
            yield node, f".{name}(center=True): half of each window lies ahead of its row"
    elif name in _TWO_SIDED:
        yield node, f"{name} uses rows on both sides of each row"
    elif name == "smooth" and isinstance(node.func, ast.Attribute) and not module.imported(node.func):
        yield node, ".smooth(…) uses rows on both sides of each row; .filter(…) those before it"
    elif name in ("convolve", "correlate", "fftconvolve", "oaconvolve") and constant(argument(node, 2, "mode")) == "same":
        yield node, f'{name}(mode="same") centres its kernel: half of it lies ahead of each row'


def _always_true(node: ast.expr, module: Module) -> bool:
    if isinstance(node, ast.Name):
        return any(constant(value) is True for value in module.scope(node).values(node.id))
    return constant(node) is True


def backward_fill(node: ast.AST, module: Module) -> Iterator[Hit]:
    """A gap filled from a later row."""
    if not isinstance(node, ast.Call):
        return
    name = method(node)
    if name in ("bfill", "backfill", "backward_fill", "fill_null_backward"):
        yield node, f"{name} fills a gap with a value that came later"
    elif name in ("fillna", "reindex", "reindex_like", "asfreq", "get_indexer") and constant(argument(node, 1, "method")) in (
        "bfill",
        "backfill",
        "nearest",
    ):
        yield node, f"{name}(method={constant(argument(node, 1, 'method'))!r}) fills a gap with a value that came later"
    elif name == "fill_null" and constant(argument(node, 1, "strategy")) == "backward":
        yield node, 'fill_null(strategy="backward") fills a gap with a value that came later'
    elif name == "merge_asof" and constant(argument(node, -1, "direction")) in ("forward", "nearest"):
        yield node, f"merge_asof(direction={constant(argument(node, -1, 'direction'))!r}) joins a row that came later"
    elif name == "join_asof" and constant(argument(node, -1, "strategy")) in ("forward", "nearest"):
        yield node, f"join_asof(strategy={constant(argument(node, -1, 'strategy'))!r}) joins a row that came later"
    elif name == "interpolate" and isinstance(node.func, ast.Attribute):
        how = argument(node, 0, "method")
        of_a_series = not node.args or isinstance(constant(node.args[0]), str)
        if of_a_series and constant(how) not in ("pad", "ffill"):
            yield node, "interpolate draws a gap towards the value at its far end, which came later"
