"""What was pushed loads by its name, by the libraries that everybody has, where this project cannot be imported."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hub.round_trip
from hub.publish import push
from tests.hub.conftest import TOKEN
from tests.hub.hub_server import HubServer
from unireward_plugins.errors import BackendError

ALONE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"unireward_plugins", "hub", "trl_ext", "diffusers_ext", "eval_ext"}:
            raise ImportError(f"{name} must not be needed")

sys.meta_path.insert(0, Blocked())
"""

DATASET = """
import json
from datasets import load_dataset

loaded = load_dataset("org/pairs", split="train")
streamed = list(load_dataset("org/pairs", split="train", streaming=True))
assert [row["prompt"] for row in streamed] == loaded["prompt"]
assert [row["chosen"].tobytes() for row in streamed] == [row["chosen"].tobytes() for row in loaded]
row = loaded[0]
print(json.dumps([loaded.num_rows, row["prompt"], row["chosen"].size, row["chosen"].getpixel((0, 0)), row["label_0"]]))
"""

MODELS = """
import json
import torch
from diffusers import DiffusionPipeline
from peft import PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor

model = AutoModelForImageTextToText.from_pretrained("org/judge")
processor = AutoProcessor.from_pretrained("org/judge")
asked = processor(text="Is it red?", return_tensors="pt")
plain = model(**asked).logits[0, -1, :8].tolist()
adapted = PeftModel.from_pretrained(model, "org/adapter")(**asked).logits[0, -1, :8].tolist()
pipeline = DiffusionPipeline.from_pretrained("org/pipeline")
weights = sum(p.abs().sum().item() for p in pipeline.unet.parameters())
print(json.dumps([plain, adapted, type(pipeline).__name__, weights]))
"""


def printed(script: str, server: HubServer, scratch: Path, *arguments: str) -> Any:
    """What a script prints in a process of its own that is logged in to the local Hub."""
    settings = {
        "HF_ENDPOINT": server.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(scratch / "home"),
        "HF_TOKEN": TOKEN,
    }
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, *arguments],
        cwd=scratch,
        env={**os.environ, **settings, "HF_HUB_OFFLINE": "0", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_private_pairs_load_by_name_plain_and_streaming(server: HubServer, pairs: Path, tmp_path: Path) -> None:
    push(pairs, "org/pairs", kind="pairs", private=True)
    assert printed(ALONE + DATASET, server, tmp_path) == [2, "a red flag", [6, 4], [255, 0, 0], 1.0]


ROUND_TRIP = """
import json, sys
from hub.round_trip import there_and_back

pushed = there_and_back(sys.argv[1], "org/pairs", kind="pairs", private=True)
again = there_and_back(sys.argv[1], "org/pairs", kind="pairs", private=True)
print(json.dumps([pushed.plan.changes, again.plan.changes, pushed.commit == again.commit]))
"""


def test_what_is_pushed_and_loaded_back_is_the_same(server: HubServer, pairs: Path, tmp_path: Path) -> None:
    assert printed(ROUND_TRIP, server, tmp_path, str(pairs)) == [True, False, True]


@pytest.mark.parametrize("back", [[1], [1, 2, 3], [1, 3], []])
def test_rows_that_do_not_come_back_are_an_error(
    server: HubServer, pairs: Path, monkeypatch: pytest.MonkeyPatch, back: list[int]
) -> None:
    """No real Hub loses rows, so what is loaded is put in the place of what was loaded."""
    monkeypatch.setattr(hub.round_trip, "rows", lambda name, _token="": iter([1, 2] if name == pairs else back))
    with pytest.raises(BackendError, match="does not give back what"):
        hub.round_trip.there_and_back(pairs, "org/pairs", kind="pairs")
    assert server.dataset("org/pairs").head.files


def test_files_of_a_model_that_come_back_changed_are_an_error(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "org/base"}')
    (folder / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    pushed = hub.round_trip.there_and_back(folder, "org/adapter", kind="adapter")
    assert pushed.commit == server.model("org/adapter").head.oid

    def push_and_change(*given: Any, **settings: Any) -> Any:
        pushed = push(*given, **settings)
        (folder / "adapter_config.json").write_text("{}")
        return pushed

    monkeypatch.setattr(hub.round_trip, "push", push_and_change)
    with pytest.raises(BackendError, match="does not give back what"):
        hub.round_trip.there_and_back(folder, "org/adapter", kind="adapter")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning")  # PEFT's
def test_judge_adapter_and_pipeline_load_by_name(server: HubServer, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from tests.diffusers_ext.tiny_pipelines import picture_pipeline
    from tests.tiny_models import build

    judge = build("llava", tmp_path / "judge")
    push(judge, "org/judge", kind="judge", private=True)
    model = AutoModelForImageTextToText.from_pretrained(judge).eval()
    asked = AutoProcessor.from_pretrained(judge)(text="Is it red?", return_tensors="pt")
    plain = model(**asked).logits[0, -1, :8].tolist()
    trained = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    trained.peft_config["default"].base_model_name_or_path = "org/judge"
    trained.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    (tmp_path / "adapter" / "README.md").unlink()  # PEFT's names the folder that the base was loaded from
    adapted = trained.eval()(**asked).logits[0, -1, :8].tolist()
    push(tmp_path / "adapter", "org/adapter", kind="adapter")
    pipeline = picture_pipeline()
    pipeline.save_pretrained(tmp_path / "pipeline")
    push(tmp_path / "pipeline", "org/pipeline", kind="pipeline")
    loaded = printed(ALONE + MODELS, server, tmp_path)
    assert loaded[0] == pytest.approx(plain, abs=1e-4)
    assert loaded[1] == pytest.approx(adapted, abs=1e-4)
    assert loaded[0] != pytest.approx(loaded[1], abs=1e-4)
    assert loaded[2] == type(pipeline).__name__
    weights = sum(one.abs().sum().item() for one in pipeline.unet.parameters())
    assert loaded[3] == pytest.approx(weights, rel=1e-4)
