"""echoic: how far back does your recurrent network remember, and what makes it remember T steps?

The public names are loaded when they are first used, so that ``import echoic`` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "AbstractCell": "core.cell",
    "PointwiseCell": "core.cell",
    "Estimate": "core.estimate",
    "Status": "core.estimate",
    "UntrustedError": "core.estimate",
    "rollout": "core.rollout",
    "Rollout": "core.rollout",
    "Network": "cells.network",
    "lyapunov_spectrum": "measure.lyapunov",
    "gradient_reach": "measure.reach",
    "input_reach": "measure.reach",
    "coherent_reach": "measure.reach",
    "jacobian_singular_values": "measure.jacobian",
    "fisher_memory": "measure.fisher",
    "linear_recall": "measure.recall",
    "raw_recall": "measure.recall",
    "load": "cells.store",
    "save": "cells.store",
    "checkup": "diagnosis.checkup",
    "compare": "diagnosis.compare",
    "Report": "diagnosis.report",
    "Thresholds": "diagnosis.horizon",
}
_PACKAGES = ("cells", "data", "diagnosis", "init", "measure", "reports", "testing", "theory")

__all__ = ["__version__", *_HOMES, *_PACKAGES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"echoic.{_HOMES[name]}"), name)
    if name in _PACKAGES:
        return importlib.import_module(f"echoic.{name}")
    raise AttributeError(f"module 'echoic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
