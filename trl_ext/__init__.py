"""UnifiedReward where vision-language models are trained: reward functions for TRL.

`UnifiedReward` and `UnifiedGroupReward` are the classes. `unified_reward` and `unified_group_reward` are instances for
the command line (`trl grpo --reward_funcs trl_ext.unified_reward`), configured by the environment variables
`UNIREWARD_JUDGE`, `UNIREWARD_RUBRIC` and `UNIREWARD_READOUT`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trl_ext.rewards import UnifiedGroupReward as UnifiedGroupReward
    from trl_ext.rewards import UnifiedReward as UnifiedReward

    unified_reward: UnifiedReward
    unified_group_reward: UnifiedGroupReward

__all__ = ["UnifiedGroupReward", "UnifiedReward", "unified_group_reward", "unified_reward"]


def __getattr__(name: str) -> object:
    """Make a public name when it is first asked for (PEP 562): the instances read the environment then, not before."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trl_ext.rewards import UnifiedGroupReward, UnifiedReward, from_environment

    globals()["UnifiedReward"], globals()["UnifiedGroupReward"] = UnifiedReward, UnifiedGroupReward
    if name == "unified_reward":
        globals()[name] = from_environment(UnifiedReward)
    if name == "unified_group_reward":
        globals()[name] = from_environment(UnifiedGroupReward)
    return globals()[name]


def __dir__() -> list[str]:
    return __all__
