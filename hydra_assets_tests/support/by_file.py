"""The order in which pytest-xdist hands out the quick tests."""

from xdist.scheduler import LoadFileScheduling

# Their tests start from the demo's home, which is made once: one worker has them all, and none waits for another to make it.
OVER_THE_DEMO = ("cli/test_cli.py", "cli/test_interrupts.py", "docs/test_docs.py", "docs/test_notebook.py", "storage/test_rebuild.py")


class ByFile(LoadFileScheduling):
    """Tests of a file on one worker, so that what a module lays down is made once."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "demo" if file.endswith(OVER_THE_DEMO) else file
