"""One step of GRPO in each process of `torchrun --nproc_per_node 2 -m tests.trl_ext.two_ranks POLICY OUTPUT`."""

from __future__ import annotations

import os
import sys

import torch
from datasets import Dataset
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import GRPOConfig, GRPOTrainer

from tests.trl_ext.material import picture, question
from trl_ext import UnifiedGroupReward, UnifiedReward
from unireward_plugins import Verdict


def judge(cases):
    """Alone, the number of the process; in pairs, the first wins. Only the second process has an aspect."""
    rank = int(os.environ["RANK"])
    scores = (float(rank),) if len(cases[0].candidates) == 1 else (1.0, 0.0)
    return [Verdict(scores, {"rank": scores} if rank else {}, reply=f"process {rank}") for _ in cases]


def main(policy: str, output: str) -> None:
    torch.set_num_threads(1)
    processor = AutoProcessor.from_pretrained(policy)
    processor.tokenizer.padding_side = "left"
    GRPOTrainer(
        AutoModelForImageTextToText.from_pretrained(policy),
        reward_funcs=[UnifiedReward(judge, name="score"), UnifiedGroupReward(judge, name="group")],
        args=GRPOConfig(
            output,
            use_cpu=True,
            bf16=False,
            report_to="none",
            save_steps=1,
            max_steps=1,
            logging_steps=1,
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=8,
            log_completions=True,
        ),
        train_dataset=Dataset.from_dict({"prompt": [question()] * 2, "image": [picture("red"), picture("blue")]}),
        processing_class=processor,
    ).train()


if __name__ == "__main__":
    main(*sys.argv[1:])
