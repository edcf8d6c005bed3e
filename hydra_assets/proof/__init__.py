"""
Proofs that nothing was known too early. `hydra_assets.proof.audit` looks through a frame made elsewhere; imported on first use.

    found = hydra_assets.proof.audit(df, time="ts", market="HE")
    found.verdict, found.cells[:3]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra_assets.proof.audit_frame import audit

# The modules bear other names: a module `audit` would take the function's place here once it is imported.
_HOMES = {"audit": "hydra_assets.proof.audit_frame"}
__all__ = ["audit"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
