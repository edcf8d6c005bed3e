"""Rules of the lint on inputs from outside a computation: the clock, files and the network, whole vintages of the lake."""

import ast
from collections.abc import Iterator

from hydra_assets.proof.lint.scope import Hit, Module, argument, constant, method

_CLOCKS = {
    "pandas.Timestamp.now", "pandas.Timestamp.utcnow", "pandas.Timestamp.today", "time.time", "time.time_ns", "time.localtime",
    "time.gmtime", "hydra_assets.core.instants.now_us",
}  # fmt: skip


def clock(node: ast.AST, module: Module) -> Iterator[Hit]:
    """A reading of the clock."""
    if isinstance(node, ast.Call):
        name = module.dotted(node.func)
        if name in _CLOCKS or (
            name.rpartition(".")[2] in ("now", "utcnow", "today") and name.split(".")[-2:-1] in (["datetime"], ["date"])
        ):
            yield node, f"{ast.unparse(node.func)}() makes the answer depend on when it is computed"
        elif name in ("pandas.Timestamp", "pandas.to_datetime", "numpy.datetime64") and constant(argument(node, 0)) in ("now", "today"):
            yield node, f"{ast.unparse(node)} makes the answer depend on when it is computed"


_FILE_MODULES = (
    "requests", "httpx", "aiohttp", "urllib", "urllib3", "socket", "ftplib", "smtplib", "subprocess", "sqlite3", "sqlalchemy", "duckdb",
    "psycopg", "psycopg2", "boto3", "s3fs", "fsspec", "shutil", "tempfile", "pickle", "shelve", "yfinance", "pandas_datareader",
)  # fmt: skip
_FILE_METHODS = {
    "read_text", "read_bytes", "write_text", "write_bytes", "read_csv", "read_parquet", "read_excel", "read_json", "read_sql",
    "read_sql_query", "read_sql_table", "read_feather", "read_hdf", "read_pickle", "read_html", "read_xml", "scan_csv", "scan_parquet",
    "scan_ipc", "to_csv", "to_parquet", "to_sql", "to_pickle", "to_feather", "to_hdf", "to_excel", "write_csv", "write_parquet", "urlopen",
}  # fmt: skip
_FILE_CALLS = {
    "open", "io.open", "os.open", "os.getenv", "os.listdir", "os.walk", "os.scandir", "os.popen", "os.system", "gzip.open", "bz2.open",
    "lzma.open", "zipfile.ZipFile", "tarfile.open", "numpy.load", "numpy.loadtxt", "numpy.genfromtxt", "numpy.fromfile", "numpy.memmap",
    "numpy.save", "numpy.savetxt", "numpy.savez", "glob.glob", "glob.iglob", "input",
}  # fmt: skip
_READING_MODULES = ("pandas", "polars", "pyarrow", "numpy", "scipy.io")


def io(node: ast.AST, module: Module) -> Iterator[Hit]:
    """A read or write outside the computation: file, database, network, environment."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for name in names:
            if name.partition(".")[0] in _FILE_MODULES and not _relative_level(node):
                yield node, f"imports {name}, which reaches outside"
    elif isinstance(node, ast.Attribute) and module.dotted(node) == "os.environ":
        yield node, "os.environ makes the answer depend on the machine"
    elif isinstance(node, ast.Call):
        name, last = module.dotted(node.func), method(node)
        reads = module.imported(node.func) and name.startswith(_READING_MODULES) and last.startswith(("read_", "scan_"))
        opens = last == "open" and isinstance(node.func, ast.Attribute) and _is_path(node.func.value, module)
        shadowed = isinstance(node.func, ast.Name) and module.scope(node).binds(node.func.id)
        if (name in _FILE_CALLS and not shadowed) or last in _FILE_METHODS or reads or opens:
            yield node, f"{ast.unparse(node.func)}(…) reaches outside"


def _relative_level(node: ast.Import | ast.ImportFrom) -> int:
    """Number of dots of a relative import, which names a module of the project itself."""
    return node.level if isinstance(node, ast.ImportFrom) else 0


def _is_path(node: ast.expr, module: Module) -> bool:
    if isinstance(node, ast.Call):
        return module.dotted(node.func) in ("pathlib.Path", "pathlib.PurePath")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return _is_path(node.left, module)
    if isinstance(node, ast.Name):
        scope = module.scope(node)
        return scope.annotation(node.id).endswith("Path") or any(_is_path(v, module) for v in scope.values(node.id) if v is not node)
    return False


def whole_vintages(node: ast.AST, module: Module) -> Iterator[Hit]:
    """Rows of the lake or the store read without a ``known_at``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "data_type=" in node.value and ".parquet" in node.value:
        yield node, "a glob over the lake's folders counts replaced files, withdrawn rows and what was not yet known"
        return
    if not isinstance(node, ast.Call):
        return
    name = method(node)
    read = isinstance(node.func, ast.Attribute) and (name == "read_vintages" or (name == "read" and _is_lake(node.func.value, module)))
    history = isinstance(node.func, ast.Attribute) and name in _HISTORIES and _is_store(node.func.value)
    history = history and "hydra_assets" not in module.path.parts  # its proofs and commands show every vintage beside its stamps
    if read or history or module.dotted(node.func) == "hydra_assets.flow.publish.evidence_of":
        yield node, f"{name}(…) gives rows that were not yet known at the row's time"


_HISTORIES = {"vintages", "get_feature_history"}


def _is_store(node: ast.AST) -> bool:
    named = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return named.lower().endswith("store")


def _is_lake(node: ast.AST, module: Module, depth: int = 3) -> bool:
    """Whether an expression is a lake, judged by its name, its annotation or the call that made it."""
    if isinstance(node, ast.Attribute):
        return node.attr.lower().endswith("lake")
    if isinstance(node, ast.Call):
        opened = isinstance(node.func, ast.Attribute) and node.func.attr == "open" and _is_lake(node.func.value, module, depth)
        return opened or method(node) == "ParquetLake"
    if not isinstance(node, ast.Name):
        return False
    scope = module.scope(node)
    if node.id.lower().endswith("lake") or "Lake" in scope.annotation(node.id):
        return True
    return depth > 0 and any(_is_lake(value, module, depth - 1) for value in scope.values(node.id))
