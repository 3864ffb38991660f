"""What stopping hopeless candidates early saves: `python benchmarks/bench_early_stop.py [PIPELINE]`.

Best of n with a preview (`best_of(..., preview=share)`) against plain best of n, for the same prompts and seeds, judged
by the embedded judge; PIPELINE is a folder or a Hub id, by default the embedded generator. Sampling is without
guidance, which would do part of the choosing already. Compute is counted in calls
of the denoiser and measured in seconds, which include the judge and the decoding of previews. Since plain best of fewer
candidates is cheaper as well, the last column is the fair one: the calls that plain best of m takes, for the m that
gives the same mean reward, for each call with the preview. Above 1 the preview is worth it. A prompt of whose samples
the judge reads none is left out everywhere, and counted.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from math import comb
from statistics import fmean
from typing import Any

import torch

from diffusers_ext import BestOf, best_of
from diffusers_ext.load_pipeline import load_pipeline
from diffusers_ext.proof_exam import draw_prompts
from unireward_plugins import load_judge
from unireward_plugins.errors import UniRewardError

CANDIDATES, PROMPTS, STEPS = 8, 40, 20
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)


def measure(
    pipeline: Any, draw: Callable[[str], BestOf], prompts: Sequence[str]
) -> tuple[list[BestOf | None], float, float]:
    """What was drawn for each prompt, if it was judged, and calls of the denoiser and seconds a prompt."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    hook = (getattr(pipeline, "unet", None) or pipeline.transformer).register_forward_pre_hook(count)
    begun = time.perf_counter()
    results = [judged_or_none(draw, prompt) for prompt in prompts]
    hook.remove()
    return results, calls / len(prompts), (time.perf_counter() - begun) / len(prompts)


def judged_or_none(draw: Callable[[str], BestOf], prompt: str) -> BestOf | None:
    """What was drawn, or `None` where no sample got a verdict."""
    try:
        return draw(prompt)
    except UniRewardError as error:
        if "no verdict" not in str(error):
            raise
        return None


def best_of_fewer(scores: Sequence[float], count: int) -> float:
    """The expected best of so many of the scores, drawn without replacement."""
    ranked = sorted(scores)
    ways = comb(len(ranked), count)
    return sum(score * comb(index, count - 1) for index, score in enumerate(ranked)) / ways


def equal_candidates(rewards: Sequence[float], reward: float) -> float:
    """How many plain candidates give this mean reward, between whole numbers on a straight line; one at the least."""
    if reward <= rewards[0]:
        return 1.0
    for count in range(1, len(rewards)):
        low, high = rewards[count - 1], rewards[count]
        if reward <= high and high > low:
            return count + (reward - low) / (high - low)
    return float(len(rewards))


def top(result: BestOf) -> float:
    """The reward of the candidate that was chosen."""
    return max(score for score in result.scores if score is not None)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    pipeline = load_pipeline(sys.argv[1] if len(sys.argv) > 1 else "shapes")
    judge = load_judge("shapes")
    prompts = draw_prompts(0, PROMPTS)[1]
    call = {"candidates": CANDIDATES, "judge": judge, "num_inference_steps": STEPS, "guidance_scale": 1.0}
    drawn, calls, seconds = measure(pipeline, lambda prompt: best_of(pipeline, prompt, **call), prompts)
    plain = [one for one in drawn if one is not None]
    pools = [[score for score in result.scores if score is not None] for result in plain]
    rewards = [fmean(best_of_fewer(pool, min(m, len(pool))) for pool in pools) for m in range(1, CANDIDATES + 1)]
    print(f"plain best of {CANDIDATES}, {len(plain)} of {PROMPTS} prompts judged, {STEPS} steps: ", end="")
    print(f"reward {rewards[-1]:.3f} (one candidate: {rewards[0]:.3f}), {calls:.0f} calls, {seconds:.2f} s a prompt")
    print(f"of fewer candidates: {', '.join(f'{reward:.3f}' for reward in rewards)}\n")
    print("preview   reward   same choice   calls   fewer calls   faster   plain with the same reward   worth it")
    for share in SHARES:
        early, used, took = measure(
            pipeline, lambda prompt, share=share: best_of(pipeline, prompt, preview=share, **call), prompts
        )
        both = [(one, other) for one, other in zip(early, drawn, strict=True) if one is not None and other is not None]
        reward = fmean(top(one) for one, _ in both)
        same = fmean(one.winner == other.winner for one, other in both)
        equal = equal_candidates(rewards, reward)
        print(
            f"{share:7.0%}   {reward:6.3f}   {same:11.0%}   {used:5.0f}   {calls / used:9.2f} x"
            f"   {seconds / took:4.2f} x   {f'best of {equal:.1f}':>26}   {calls * equal / CANDIDATES / used:6.2f} x"
        )


if __name__ == "__main__":
    main()
