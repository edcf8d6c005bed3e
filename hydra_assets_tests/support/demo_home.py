"""One home made by the real `hydra-assets demo`, for the tests that read what it left."""

import io
import os
import subprocess
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).with_name("hydra-assets"))


@dataclass(frozen=True)
class Demo:
    """The home, and what the first run printed."""

    home: Path
    printed: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a command over this home: 80 columns wide, without colours, in a shell that finds the program by its name."""
        path = f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}"
        return {"HYDRA_HOME": str(self.home), "COLUMNS": "80", "NO_COLOR": "1", "PATH": path, "UV_RUN_RECURSION_DEPTH": ""}

    def process(self, *words: str, check=True, program=PROGRAM) -> subprocess.CompletedProcess:
        """A command over the same home, in a process of its own."""
        environment = {**os.environ, **self.environment}
        return subprocess.run([program, *words], env=environment, capture_output=True, text=True, check=check, cwd=self.home)

    def run(self, *words: str, check=True) -> subprocess.CompletedProcess:
        """A command over the same home, through the program's entry point in this process, which has imported everything."""
        from hydra_assets.cli.main import main

        done = subprocess.CompletedProcess([PROGRAM, *words], 0, "", "")
        with self._printed(done) as patch:
            patch.setattr(sys, "argv", done.args)
            try:
                main()
            except SystemExit as ended:
                done.returncode = int(ended.code or 0)
        if check:
            done.check_returncode()
        return done

    def snippet(self, text: str) -> str:
        """The output of a page's program over the same home, run in this process."""
        done = subprocess.CompletedProcess(text, 0, "", "")
        with self._printed(done):
            exec(compile(text, "the snippet", "exec"), {"__name__": "__main__"})  # noqa: S102  our own pages
        return done.stdout

    @contextmanager
    def _printed(self, done: subprocess.CompletedProcess):
        """This home's environment and folder, for a block whose prints go to *done*."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.home)
            yield patch
        done.stdout, done.stderr = out.getvalue(), err.getvalue()
