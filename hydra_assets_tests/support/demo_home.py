"""One home made by the real `hydra-assets demo`, for the tests that read what it left."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("hydra-assets"))


@dataclass(frozen=True)
class Demo:
    """The home, and what the first run printed."""

    home: Path
    printed: str

    def run(self, *words: str, check=True, program=PROGRAM) -> subprocess.CompletedProcess:
        """A command over the same home, 80 columns wide, without colours."""
        environment = {**os.environ, "HYDRA_HOME": str(self.home), "COLUMNS": "80", "NO_COLOR": "1"}
        return subprocess.run([program, *words], env=environment, capture_output=True, text=True, check=check, cwd=self.home)
