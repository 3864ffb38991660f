"""How much faster a judge answers than a loop over samples: `python benchmarks/bench_judge.py`.

The loop is a faithful rebuild of what the scripts of github.com/CodeGoat24/UnifiedReward do (`inference_qwen/`): for
each sample, build the chat, run the processor, `generate` alone in a batch, decode, look for the verdict. Both sides
have the same checkpoint (the embedded judge), pictures, prompts and token limits, run in turn in one process, and their
verdicts are compared; what is quoted is the median of the ratios of neighbouring runs. Both run on the CPU: it says
nothing about GPUs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from unireward_plugins import Case, Verdict, shapes
from unireward_plugins.backends.transformers import TransformersBackend
from unireward_plugins.judges import ModelJudge
from unireward_plugins.shapes.data import CELLS, draw_items
from unireward_plugins.shapes.rubrics import RUBRIC_OF
from unireward_plugins.shapes.trials import cases_of

FOLDER = Path(shapes.__file__).parent / "judge"
ITEMS = 96
ROUNDS = 5


def draw_cases(cell: str) -> list[Case]:
    """Labelled cases of a cell of the shapes world, without their labels."""
    return cases_of(draw_items(CELLS[cell], ITEMS, seed="benchmark"), seed=[0])


def loop_over_samples(judge: ModelJudge) -> Callable[[list[Case]], list[Verdict]]:
    """One `generate` a sample, as the published scripts do."""
    model = AutoModelForImageTextToText.from_pretrained(FOLDER).eval()
    processor = AutoProcessor.from_pretrained(FOLDER)

    def run(cases: list[Case]) -> list[Verdict]:
        verdicts = []
        for case in cases:
            rubric = judge.rubric_for(case)
            query = rubric.query(case)
            pictures = [media.pil() for media in query.media]
            content = [*({"type": "image"} for _ in pictures), {"type": "text", "text": query.text}]
            text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
            inputs = processor(text=[text], images=pictures, return_tensors="pt")
            with torch.no_grad():
                ids = model.generate(**inputs, max_new_tokens=query.max_tokens, do_sample=False)
            reply = processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)[0]
            verdicts.append(rubric.read(reply))
        return verdicts

    return run


def seconds(judge: Callable[[list[Case]], list[Verdict]], cases: list[Case]) -> tuple[float, list[Verdict]]:
    """How long a judge takes over the cases, and what it says."""
    start = time.perf_counter()
    verdicts = judge(cases)
    return time.perf_counter() - start, verdicts


def main() -> None:
    """Print a row per cell."""
    judge = ModelJudge("shapes", TransformersBackend(FOLDER, device="cpu"), RUBRIC_OF)
    loop = loop_over_samples(judge)
    print(f"{ITEMS} cases a cell, {ROUNDS} rounds, {torch.get_num_threads()} threads")
    for cell in CELLS:
        cases = draw_cases(cell)
        for warm_up in (judge, loop):
            warm_up(cases[:8])
        ratios, same = [], 0
        for _ in range(ROUNDS):
            slow, theirs = seconds(loop, cases)
            fast, ours = seconds(judge, cases)
            ratios.append(slow / fast)
            same = sum(one.scores == other.scores for one, other in zip(ours, theirs, strict=True))
        print(
            f"{cell:28} {len(cases) / slow:6.1f} -> {len(cases) / fast:6.1f} cases/s   "
            f"median ratio {statistics.median(ratios):4.1f} ({min(ratios):.1f} to {max(ratios):.1f})   "
            f"same verdict {same} of {len(cases)}"
        )


if __name__ == "__main__":
    main()
