"""What TRL logs of the rewards when it trains in two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pandas
import pytest


@pytest.mark.slow
def test_each_process_judges_its_own_groups_and_the_logs_hold_all(policy_folder, tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    subprocess.run(
        [*launch, "-m", "tests.trl_ext.two_ranks", policy_folder("llava"), tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=True,
    )

    table = pandas.read_parquet(tmp_path / "completions" / "completions_00001.parquet")
    assert table["score"].tolist() == [0.0] * 4 + [1.0] * 4
    assert table["score/reply"].tolist() == ["process 0"] * 4 + ["process 1"] * 4
    assert table["group"][:4].sum() == pytest.approx(2.0)
    assert table["group"][4:].sum() == pytest.approx(2.0)
    (step, *_) = json.loads((tmp_path / "checkpoint-1" / "trainer_state.json").read_text())["log_history"]
    assert (step["score/unread"], step["group/unread"], step["score/rank"]) == (0.0, 0.0, 1.0)
