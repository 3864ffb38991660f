"""UnifiedReward, and any other judge, where people train and measure multimodal models.

    from unireward_plugins import Case, Media, load_judge

    judge = load_judge("CodeGoat24/UnifiedReward-2.0-qwen3vl-8b")
    verdict, = judge([Case("a red circle", (Media.of("circle.png"),))])

Everything is imported when it is first used: `import unireward_plugins` costs milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trl_ext import UnifiedReward as UnifiedReward
    from unireward_plugins.errors import BackendError as BackendError
    from unireward_plugins.errors import MediaError as MediaError
    from unireward_plugins.errors import MissingExtra as MissingExtra
    from unireward_plugins.errors import UniRewardError as UniRewardError
    from unireward_plugins.errors import UnsupportedCase as UnsupportedCase
    from unireward_plugins.judges import both_orders as both_orders
    from unireward_plugins.loading import load_judge as load_judge
    from unireward_plugins.media import Media as Media
    from unireward_plugins.types import Case as Case
    from unireward_plugins.types import Judge as Judge
    from unireward_plugins.types import Verdict as Verdict

_HOME = {
    "BackendError": "unireward_plugins.errors",
    "Case": "unireward_plugins.types",
    "Judge": "unireward_plugins.types",
    "Media": "unireward_plugins.media",
    "MediaError": "unireward_plugins.errors",
    "MissingExtra": "unireward_plugins.errors",
    "UniRewardError": "unireward_plugins.errors",
    # The one place where the core looks outward, so that users have one import root.
    "UnifiedReward": "trl_ext",
    "UnsupportedCase": "unireward_plugins.errors",
    "Verdict": "unireward_plugins.types",
    "both_orders": "unireward_plugins.judges",
    "load_judge": "unireward_plugins.loading",
}

__version__ = "0.1.0"
__all__ = ["__version__", *_HOME]  # noqa: PLE0604  # every key is a string


def __getattr__(name: str) -> object:
    """Import a public name from its home when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
