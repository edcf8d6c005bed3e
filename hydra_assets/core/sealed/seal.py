"""
A seal around code of others: files, sockets, databases, processes, threads and the clock are refused while it runs.

An audit hook, installed once a process, is told by Python of the most; it looks at one variable of the thread, and outside of sealed code
refuses nothing. A third party's function is also watched for calls that no hook is told of (`watch`), and where it has the process to
itself nothing can be opened at all (`descriptors`), which stops libraries that read files without Python. This keeps honest code honest;
it is no prison for code that means to break out.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from types import FrameType, FunctionType
from typing import Any

from hydra_assets.core.feature import Feature
from hydra_assets.core.sealed.descriptors import NoDescriptors, lacks_descriptors
from hydra_assets.core.sealed.frames import is_reader_of_code, reads_code
from hydra_assets.core.sealed.watch import watched, watched_import
from hydra_assets.errors import ImpureFeatureError

Refuses = Callable[[str, tuple[Any, ...]], bool]
_REFUSED = frozenset(
    {
        "open", "mmap.__new__", "glob.glob", "glob.glob/2", "pathlib.Path.glob", "pathlib.Path.rglob", "pty.spawn",
        "os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty",
        "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.putenv", "os.startfile",
        "subprocess.Popen", "_thread.start_new_thread", "_thread.start_joinable_thread", "ctypes.dlopen", "ctypes.dlsym",
        "ctypes.call_function", "gc.get_objects", "gc.get_referrers", "gc.get_referents",
    }
)  # fmt: skip
_REFUSED_FAMILIES = ("socket.", "sqlite3.", "urllib.", "http.client.", "ftplib.", "smtplib.", "imaplib.", "poplib.", "shutil.", "tempfile.")
_CODE = (".py", ".pyc", ".pyi", ".so", ".pyd", ".dylib")
_DATABASES = ("sqlite3.connect", "socket.connect", "socket.getaddrinfo", "socket.sendto")
_OURS = "hydra_assets."


class _Thread(threading.local):
    """
    State of the thread.

    Attributes:
        seal: of the code that it runs: a name and what is refused; None outside of sealed code.
        limit: of file descriptors, where the process has none.
    """

    seal: tuple[str, Refuses] | None = None
    limit: NoDescriptors | None = None


_THREAD = _Thread()


def run_sealed(feature: Feature, *args: Any) -> Any:
    """
    The answer of the feature's function, run under the seal.

    Raises:
        ImpureFeatureError: the function, or what it calls, reached outside of its arguments.
    """
    if _is_ours(feature.function):
        with _sealed(feature.name, _refused_while_computing):
            return feature.function(*args)
    refused: list[ImpureFeatureError] = []
    outer = _THREAD.limit

    def refuse(name: str) -> None:
        if _THREAD.seal is not None:
            refused.append(_error(feature.name, name))
            raise refused[0]

    try:
        with ExitStack() as stack:
            if outer is None and threading.active_count() == 1:
                _THREAD.limit = stack.enter_context(NoDescriptors())
            stack.enter_context(watched(refuse, _lower))
            stack.enter_context(_sealed(feature.name, _refused_while_computing))
            answer = feature.function(*args)
    except ImpureFeatureError:
        raise
    except Exception as error:
        if lacks_descriptors(error):
            raise _error(feature.name, f"opening a file ({error})") from error
        raise
    finally:
        _THREAD.limit = outer
    if refused:  # the function swallowed it
        raise refused[0]
    return answer


@contextmanager
def sealed_import(name: str) -> Iterator[None]:
    """
    A block in which a package is imported.

    It may read its own files, but no database, no network and no folder of a lake, and start no thread, which the seal would not reach.
    """

    def refuse(call: str) -> None:
        if _THREAD.seal is not None:
            raise _error(name, call)

    with watched_import(refuse), _sealed(name, _refused_while_importing):
        yield


@contextmanager
def _sealed(name: str, refuses: Refuses) -> Iterator[None]:
    _install()
    before, _THREAD.seal = _THREAD.seal, (name, refuses)
    try:
        yield
    finally:
        _THREAD.seal = before


def _is_ours(function: object) -> bool:
    """Whether a function is of this package; only a plain one can be, its module's own globals behind it."""
    if not isinstance(function, FunctionType):
        return False
    module = sys.modules.get(str(function.__module__))
    return str(function.__module__).startswith(_OURS) and module is not None and function.__globals__ is vars(module)


def _lower() -> None:
    if _THREAD.limit is not None:
        _THREAD.limit.lower()


@cache
def _install() -> None:
    sys.addaudithook(_hook)  # for the life of the process: a hook cannot be removed


def _hook(event: str, args: tuple[Any, ...]) -> None:
    seal = _THREAD.seal
    if seal is None:
        return
    name, refuses = seal
    if refuses(event, args):
        raise _error(name, f"{event} {', '.join(repr(arg)[:200] for arg in args[:2])}")


def _error(name: str, call: str) -> ImpureFeatureError:
    return ImpureFeatureError(
        f"{name}: {call} is refused; a feature is a pure function of its inputs: declare a table as an input, and import modules at the top"
        f" of the file",
        feature=name,
    )


def _refused_while_computing(event: str, args: tuple[Any, ...]) -> bool:
    if event not in _REFUSED and not event.startswith(_REFUSED_FAMILIES):
        return False
    frame = sys._getframe(2)  # an event of its own, which is not refused; behind the hook stands who opens
    return not (_reads_code(event, args, frame) or _reads_time_zone(event, args))


def _refused_while_importing(event: str, args: tuple[Any, ...]) -> bool:
    if event in ("open", "os.listdir", "os.scandir"):
        return bool(args) and "data_type=" in str(args[0])
    return event in _DATABASES


def _reads_code(event: str, args: tuple[Any, ...], frame: FrameType) -> bool:
    """An import, or the source line of a warning."""
    if not is_reader_of_code(frame):
        return event.startswith("ctypes.") and reads_code(frame)
    if event != "open" or not args or isinstance(args[0], int):  # a number: the import's own bytecode, opened a line before by name
        return True
    return str(args[0]).endswith(_CODE) or ".pyc." in str(args[0])


def _reads_time_zone(event: str, args: tuple[Any, ...]) -> bool:
    reads = event == "open" and len(args) > 1 and "/zoneinfo/" in str(args[0]) and args[1] in ("r", "rb")
    if reads and _THREAD.limit is not None:
        _THREAD.limit.lift()  # until the next call of whatever function
    return reads
