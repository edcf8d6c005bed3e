"""A Storage in memory: the second implementation, by which the behaviour suite shows that a third only adds a fixture."""

import contextlib
import fnmatch
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import pyarrow as pa

from hydra_assets.core.instants import now_us
from hydra_assets.errors import LockTimeoutError


class MemoryStorage:
    def __init__(self):
        self._files = {}  # key to bytes and the time of the commit
        self._stamps = {}
        self._locks = defaultdict(threading.Lock)

    def exists(self):
        return bool(self._files)

    def path(self, key):
        return Path("memory:") / key

    def folders(self, pattern):
        wanted = pattern.split("/")
        holding = [key.split("/")[:-1] for key in self._files] + [key.split("/") for key in self._stamps]
        known = sorted({tuple(parts[: len(wanted)]) for parts in holding if len(parts) >= len(wanted)})
        return ["/".join(parts) for parts in known if all(map(fnmatch.fnmatchcase, parts, wanted))]

    def names(self, folder):
        heads = (key.rpartition("/") for key in self._files)
        return [name for head, _, name in heads if head == folder]

    def open(self, key):
        return pa.BufferReader(self.read(key))

    def read(self, key):
        if key not in self._files:
            raise FileNotFoundError(key)
        return self._files[key][0]

    def create(self, key, body):
        self._files.setdefault(key, (body, time.time()))

    def replace(self, key, body):
        self._files[key] = (body, time.time())

    def append_line(self, key, line):
        body = self._files.get(key, (b"",))[0]
        self.replace(key, body[: body.rfind(b"\n") + 1] + f"{line}\n".encode())

    @contextlib.contextmanager
    def staging(self, name):
        with tempfile.TemporaryDirectory() as stage:
            yield Path(stage)

    def commit(self, staged, key):
        if key in self._files:
            raise FileExistsError(key)
        self._files[key] = (staged.read_bytes(), time.time())

    def delete(self, key):
        self._files.pop(key, None)

    def size(self, key):
        return len(self.read(key))

    def state(self, key):
        self.read(key)
        return self._files[key]

    def age_s(self, key):
        self.read(key)
        return time.time() - self._files[key][1]

    @contextlib.contextmanager
    def lock(self, folder):
        if not self._locks[folder].acquire(timeout=1):
            raise LockTimeoutError(f"{folder}: another writer held the lock")
        try:
            self._stamps.setdefault(folder, None)
            yield MemoryClock(self._stamps, folder)
        finally:
            self._locks[folder].release()

    def wait_for_writer(self, folder):
        with self.lock(folder):
            pass

    def last_stamp(self, folder):
        return self._stamps.get(folder)

    def orphans(self):
        return []

    def sweep(self):
        pass


class MemoryClock:
    def __init__(self, stamps, folder):
        self._stamps, self._folder = stamps, folder

    def next(self):
        self._stamps[self._folder] = max(now_us(), (self._stamps[self._folder] or 0) + 1)
        return self._stamps[self._folder]
