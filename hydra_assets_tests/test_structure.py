"""Allowed dependencies and reads, checked for every asset and every module, those added later too."""

import ast
import re
from functools import cache
from pathlib import Path

import dagster as dg
import pytest

import hydra_assets
from hydra_assets.core.label import is_label
from hydra_assets.core.tables.registry import FEATURE_TABLES, TABLES
from hydra_assets.features import ALL
from hydra_assets.features.compute import INPUTS
from hydra_assets.proof.lint.linter import lint_source
from hydra_assets.proof.lint.scope import Module
from hydra_assets_tests.support.by_file import OVER_THE_DEMO
from hydra_assets_tests.support.dagster_runs import definitions

PACKAGE = Path(hydra_assets.__file__).parent
PURE = ("core", "options", "features")
# Of these a pure floor may import; a module that reads or writes is in none of them.
ALLOWED = {
    "abc", "bisect", "collections", "contextlib", "dataclasses", "datetime", "enum", "functools", "hashlib", "heapq", "itertools", "math",
    "numbers", "operator", "random", "re", "statistics", "struct", "typing", "warnings", "zoneinfo", "numpy", "pandas", "pyarrow",
    "pyarrow.compute",
    "scipy", "hydra_assets.errors", "hydra_assets.lazy", "hydra_assets.core", "hydra_assets.options", "hydra_assets.features",
}  # fmt: skip
# Which features there are is looked up among the installed packages, and so are the exchanges' days; nothing of it is data.
ALSO_ALLOWED = {
    ("features/compute.py", "importlib.metadata"),
    ("core/exchange_days.py", "pandas_market_calendars"),
    # The seal around features' functions refuses what reads and writes; it does neither.
    *(("core/sealed/seal.py", name) for name in ("sys", "threading", "types")),
    *(("core/sealed/watch.py", name) for name in ("sys", "types")),
    ("core/sealed/arrow.py", "importlib"),
    ("core/sealed/replacement.py", "threading"),
    *(("core/sealed/descriptors.py", name) for name in ("builtins", "importlib", "resource")),
    ("core/sealed/frames.py", "types"),
}
MAY_USE_FEATURE_TABLES = ("option_features", "divergence_features")


@cache
def modules(*floors):
    if floors:
        return [module for module in modules() if name_of(module).split("/")[0] in floors]
    return [Module(ast.parse(path.read_text(encoding="utf-8")), path) for path in sorted(PACKAGE.rglob("*.py"))]


def name_of(module):
    return module.path.relative_to(PACKAGE).as_posix()


# ---------------------------------------------------------------- assets


def forbidden_edges(built: dg.Definitions) -> set[tuple[str, str]]:
    """Asset and dependency, where the design does not allow it."""
    graph = built.resolve_asset_graph()
    groups = {key.path[-1]: graph.get(key).group_name for key in graph.get_all_asset_keys()}
    wrong = set()
    for key in graph.get_all_asset_keys():
        name, group = key.path[-1], graph.get(key).group_name
        for parent in sorted(p.path[-1] for p in graph.get(key).parent_keys):
            allowed = {
                "raw": groups[parent] == "raw" and parent.endswith("_definitions") and not name.endswith("_definitions"),
                "derived": groups[parent] in ("raw", "derived"),
                "features": groups[parent] in ("raw", "derived") or (groups[parent] == "features" and name in MAY_USE_FEATURE_TABLES),
            }
            if is_label(parent) or groups[parent] == "labels" or not allowed.get(str(group), False):
                wrong.add((name, parent))
    return wrong


def test_assets_depend_only_on_what_the_design_allows():
    assert forbidden_edges(definitions()) == set()


def test_every_table_is_in_its_group_and_none_is_a_label():
    graph = definitions().resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        name = key.path[-1]
        assert graph.get(key).group_name == TABLES[name].group
        assert not is_label(name)


def test_each_kind_of_forbidden_dependency_is_seen():
    def table(name, group, *deps):
        return dg.AssetSpec(name, group_name=group, deps=list(deps))

    built = dg.Definitions(
        assets=[
            table("a_definitions", "raw"),
            table("bars", "raw", "a_definitions"),
            table("quotes", "raw", "bars"),
            table("b_definitions", "raw", "a_definitions"),
            table("chain", "derived", "bars"),
            table("cot_features", "features", "bars", "chain"),
            table("smiles", "derived", "chain", "cot_features"),
            table("futures_features", "features", "cot_features"),
            table("divergence_features", "features", "cot_features", "label_fwd_5d"),
            table("label_fwd_5d", "labels", "bars"),
        ]
    )
    assert forbidden_edges(built) == {
        ("quotes", "bars"),
        ("b_definitions", "a_definitions"),
        ("smiles", "cot_features"),
        ("futures_features", "cot_features"),
        ("divergence_features", "label_fwd_5d"),
        ("label_fwd_5d", "bars"),
    }


def test_a_feature_table_depends_on_its_inputs_and_its_features_see_no_others():
    graph = definitions().resolve_asset_graph()
    names = {key.path[-1] for key in graph.get_all_asset_keys()}
    upstream = {}
    for family, inputs in INPUTS.items():
        key = dg.AssetKey(FEATURE_TABLES[family].name)
        assert {parent.path[-1] for parent in graph.get(key).parent_keys} == set(inputs)
        assert set(inputs) <= names
        upstream[family] = {parent.path[-1] for parent in graph.get_ancestor_asset_keys(key)}
    for feature in ALL:
        assert not is_label(feature.name)
        # A window lies over what the table is made of, directly or through derived tables.
        assert {window.dataset for window in feature.windows} <= upstream[feature.family], feature.name


# ---------------------------------------------------------------- what a floor may import and read


def imports(module):
    """Full names of what a module imports, at once or when it is first used."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lazy":
            yield from (str(ast.literal_eval(argument)) for argument in node.args)
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(module)} imports relatively"
            yield from (
                (f"{node.module}.{name.name}" if node.module in ("pyarrow", "importlib") else str(node.module)) for name in node.names
            )


def alien_imports(module):
    found = set()
    for name in imports(module):
        parts = name.split(".")
        heads = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
        if parts[0] in ("pyarrow", "importlib"):  # parts of it read files
            heads = {name}
        if not heads & ALLOWED and (name_of(module), name) not in ALSO_ALLOWED:
            found.add(name)
    return found


@pytest.mark.parametrize("floor", PURE)
def test_a_pure_floor_imports_nothing_that_reads_or_writes(floor):
    found = {name_of(module): alien_imports(module) for module in modules(floor)}
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize("floor", PURE)
def test_a_pure_floor_reads_nothing(floor):
    found = [str(f) for module in modules(floor) for f in lint_source(module.path.read_text(encoding="utf-8"), module.path)]
    assert [line for line in found if ": io " in line or ": whole-vintages " in line] == []


READING_IMPORTS = [
    "import pathlib",
    "from pathlib import Path",
    "import pyarrow.parquet as pq",
    "from pyarrow import fs",
    "import hydra_assets.storage.lake",
    "from hydra_assets.storage import lake",
    'sql = lazy("sqlite3")',
]


@pytest.mark.parametrize("text", READING_IMPORTS)
def test_an_import_that_reads_would_be_seen(text):
    assert alien_imports(Module(ast.parse(text), PACKAGE / "core" / "new.py"))


# ---------------------------------------------------------------- facts of a table are read from the table


BY_AFFIX = ("startswith", "endswith", "removeprefix", "removesuffix")
BY_PART = ("split", "rsplit", "partition", "rpartition")
# The two ends of every table's name: cot_, futures_, ..., _features, _definitions, ...
AFFIXES = {name.partition("_")[0] + "_" for name in TABLES} | {"_" + name.rpartition("_")[2] for name in TABLES}
AFFIXES |= {affix.strip("_") for affix in AFFIXES}


def guesses(tree):
    """Lines that take a name apart to learn of which kind its table is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            texts = {constant.value for argument in node.args for constant in ast.walk(argument) if isinstance(constant, ast.Constant)}
            if (node.func.attr in BY_AFFIX and texts & AFFIXES) or (node.func.attr in BY_PART and "_" in texts):
                yield f"{node.lineno}: {ast.unparse(node)}"


def test_nothing_is_derived_from_a_tables_name():
    found = {name_of(module): list(guesses(module.tree)) for module in modules()}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "text",
    [
        'table.name.startswith("cot_")',
        'name.startswith(("futures_", "option_"))',
        'name.endswith("_definitions")',
        'name.removesuffix("_features")',
        'name.split("_")[0]',
        'name.partition("_")',
    ],
)
def test_a_guess_by_name_would_be_seen(text):
    assert list(guesses(ast.parse(text))) == [f"1: {text.replace(chr(34), chr(39)).removesuffix('[0]')}"]


# ---------------------------------------------------------------- who sees whole vintages


@cache
def whole_vintages():
    """(file, outermost function) of each read of whole vintages in the package; all of them must say why on their line."""
    found = []
    for module in modules():
        text = module.path.read_text(encoding="utf-8")
        assert [f for f in lint_source(text, module.path) if f.rule in ("whole-vintages", "acceptance")] == []
        if "lookahead-ok" not in text:
            continue
        calls = {(n.lineno, n.col_offset + 1): n for n in ast.walk(module.tree) if isinstance(n, ast.Call)}
        for finding in lint_source(text.replace("lookahead-ok", ""), module.path):
            if finding.rule == "whole-vintages":
                outwards = module.outwards(calls[finding.line, finding.column])
                found.append((name_of(module), [outer.name for outer in outwards if isinstance(outer, ast.FunctionDef)][-1]))
    return found


def test_each_read_of_whole_vintages_says_why_and_their_number_is_known():
    assert len(whole_vintages()) == 18


def test_in_defs_only_builders_and_checks_read_whole_vintages():
    """An asset hands rows to a pure function; it never reads vintages in its own body."""
    in_defs = {function for file, function in whole_vintages() if file.startswith("defs/")}
    assert in_defs == {"load_input", "no_lookahead", "replayed", "poisoned", "rows_for"}


def test_rows_reach_the_lake_through_batches_alone():
    """`Batch.append` is the only caller of `append_new`."""
    callers = {
        name_of(module)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append_new"
    }
    assert callers == {"flow/batch.py"}


BY_CALENDAR = {"compute", "computing", "replay", "poison", "proofs_of", "lookahead_audit", "early_rows", "forward_returns"}


def without_calendar(tree):
    """Lines that compute or prove a market's values and do not say by which exchange calendar."""
    for node in ast.walk(tree):
        name = getattr(node.func, "id", getattr(node.func, "attr", "")) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and name in BY_CALENDAR:
            passed = {keyword.arg for keyword in node.keywords}
            if not passed & {"calendar", None}:  # None: further arguments by **
                yield f"{node.lineno}: {ast.unparse(node.func)}"


def test_what_computes_a_markets_values_is_given_the_configured_calendar():
    """Without it a market of one's own is computed by its calendar, and proved by the one of lean hogs."""
    found = {
        name_of(module): list(without_calendar(module.tree)) for module in modules("flow", "proof", "defs", "cli", "desk.py", "labels.py")
    }
    assert {name: lines for name, lines in found.items() if lines} == {}
    assert list(without_calendar(ast.parse('compute("cot", inputs, market="XX")'))) == ["1: compute"]


def test_labels_are_imported_by_nobody_who_makes_features():
    users = {name_of(m) for m in modules() if any(n.endswith(".labels") or n == "hydra_assets.labels" for n in imports(m))}
    froms = {
        name_of(m)
        for m in modules()
        for node in ast.walk(m.tree)
        if isinstance(node, ast.ImportFrom) and any(name.name == "labels" for name in node.names)
    }
    assert users | froms <= {"__init__.py", "labels.py"}


def test_every_file_over_the_demos_home_is_handed_to_one_worker():
    tests = Path(__file__).parent
    users = {path for path in tests.rglob("test_*.py") if re.search(r"^def \w+\(([^)]*, )?demo\b", path.read_text(encoding="utf-8"), re.M)}
    assert {path.relative_to(tests).as_posix() for path in users} == set(OVER_THE_DEMO)


# ---------------------------------------------------------------- input, SQL, and a library that stays apart


def asserted(tree):
    """Lines of asserts that do more than tell the type checker that something is there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            match node.test:
                case ast.Compare(left=ast.Name() | ast.Attribute(), ops=[ast.IsNot()], comparators=[ast.Constant(value=None)]):
                    continue
            yield node.lineno


def test_no_input_is_checked_by_an_assert():
    """`python -O` drops them, and what they raise is none of our errors."""
    assert {name_of(module): lines for module in modules() if (lines := list(asserted(module.tree)))} == {}
    assert list(asserted(ast.parse("assert x > 0"))) == [1]


# A condition that the module's own callers pass, each as a constant.
CONDITIONS = {
    ("sources/ledger.py", "where"),
    ("sources/ledger.py", "state"),
    ("sources/ledger.py", "statement"),
    ("sqlite_seals.py", "statement"),
}


def is_constant(node, function, file):
    """Whether a text of SQL comes of constants alone: literals, names of constants, and local names made of these."""

    def constant(part):
        return is_constant(part, function, file)

    match node:
        case ast.Constant():
            return True
        case ast.Starred():
            return file == "sqlite_errors.py"  # it hands statements on
        case ast.Name(id=name):
            if name.isupper() or (file, name) in CONDITIONS:
                return True
            made = [n.value for n in ast.walk(function) if isinstance(n, ast.Assign) and any(ast.unparse(t) == name for t in n.targets)]
            loops = [n for n in ast.walk(function) if isinstance(n, ast.For)]
            made += [n.iter for n in loops if name in {part.id for part in ast.walk(n.target) if isinstance(part, ast.Name)}]
            return bool(made) and all(constant(value) for value in made)
        case ast.JoinedStr(values=values) | ast.Tuple(elts=values):
            return all(constant(value) for value in values)
        case ast.FormattedValue(value=value) | ast.Subscript(value=value) | ast.Attribute(value=value):
            return constant(value)
        case ast.IfExp(body=body, orelse=other):
            return constant(body) and constant(other)
        case ast.BinOp(left=left, right=right):
            return constant(left) and constant(right)
        case ast.Call(func=ast.Name(id="len"), args=arguments):
            return all(constant(argument) for argument in arguments)
        case ast.Call(func=ast.Attribute(value=value), args=arguments):
            return constant(value) and all(constant(argument) for argument in arguments)
    return False


def made_sql(tree, file):
    """Statements that hold more than constants."""
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        for node in ast.walk(function):
            call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("execute", "executemany")
            if call and node.args and not is_constant(node.args[0], function, file):
                yield f"{node.lineno}: {ast.unparse(node.args[0])}"


def test_sql_is_made_of_constants_alone():
    found = {name_of(module): list(made_sql(module.tree, name_of(module))) for module in modules() if "sqlite3" in set(imports(module))}
    found |= {name_of(module): list(made_sql(module.tree, name_of(module))) for module in modules("storage")}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("text", ["db.execute(f'SELECT {x}')", "db.execute(sql)", "db.execute('SELECT ' + name)", "db.execute('%s' % x)"])
def test_sql_that_is_made_of_input_would_be_seen(text):
    assert list(made_sql(ast.parse(f"def f(db, x, name, sql):\n    {text}"), "storage/new.py"))


def test_the_library_for_cot_is_imported_in_its_child_process_alone():
    users = {name_of(module) for module in modules() if any(name.split(".")[0] == "cot_reports" for name in imports(module))}
    assert users == {"sources/cftc_child.py"}
    (child,) = (module for module in modules("sources") if name_of(module) == "sources/cftc_child.py")
    at_import = [name.name for node in child.tree.body if isinstance(node, ast.Import) for name in node.names]
    at_import += [str(node.module) for node in child.tree.body if isinstance(node, ast.ImportFrom)]
    assert not [name for name in at_import if name.startswith("cot_reports")]  # its parent imports names of this module


# ---------------------------------------------------------------- words

RIDDLES = re.compile(r"(What|Of|Who|Where|When|Whose|Which)\b")


def riddles(tree):
    """First lines of docstrings that open with a relative clause, which the reader must solve."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            if RIDDLES.match(text):
                yield text.partition("\n")[0]


@pytest.mark.parametrize("folder", ["hydra_assets", "hydra_assets_tests", "benchmarks"])
def test_a_first_line_says_what_the_thing_is_or_does(folder):
    files = sorted((PACKAGE.parent / folder).rglob("*.py"))
    assert files
    assert {str(file): lines for file in files if (lines := list(riddles(ast.parse(file.read_text()))))} == {}


def test_a_riddle_would_be_seen():
    assert list(riddles(ast.parse('def f():\n    """What is left.\n\n    More."""'))) == ["What is left."]
