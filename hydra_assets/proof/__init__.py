"""
Proofs that nothing was known too early, imported on first use.

`audit` looks through a frame made elsewhere, `causal` runs a function on data that is cut and poisoned:

    found = hydra_assets.proof.audit(df, time="ts", market="HE")
    found.verdict, found.cells[:3]
    print(hydra_assets.proof.causal(momentum, df, time="ts"))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hydra_assets.proof.audit_frame import audit
    from hydra_assets.proof.causality import causal

# The modules bear other names: a module `audit` would take the function's place here once it is imported.
_HOMES = {"audit": "hydra_assets.proof.audit_frame", "causal": "hydra_assets.proof.causality"}
__all__ = ["audit", "causal"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
