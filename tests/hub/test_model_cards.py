"""Model cards: made from what a folder holds and what its makers note, and read back by the Hub's own client."""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import EvalResultEntry, ModelCard, parse_eval_result_entries

from diffusers_ext import dpo_card
from hub.model_cards import model_card
from hub.model_facts import Evaluation, ModelFacts, eval_results, parameters, read_facts, save_facts
from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.exam import BASE_POLICY

FACTS = ModelFacts(
    summary="It judges flags.",
    licence="mit",
    base_model="Qwen/Qwen3-VL-2B-Instruct",
    training={"method": "supervised", "epochs": 3, "learning rate": 2.5e-6},
    data=[{"name": "CodeGoat24/HPD", "rows": 25_600, "licence": "mit"}, {"name": "our own | flags", "rows": 12}],
    evaluations=[
        Evaluation(
            "TIGER-Lab/GenAI-Bench",
            "image generation, pairs",
            0.7123,
            metric="accuracy without ties",
            split="test",
            revision="abc",
            date="2026-11-21",
            source="https://example.org/log",
            notes="both orders",
        ),
        Evaluation("TIGER-Lab/GenAI-Bench", "video generation, pairs", 0.5),
        Evaluation("flags", "pairs", 0.9),
    ],
    limits=["It knows flags alone."],
)


@pytest.fixture
def judge(tmp_path: Path) -> Path:
    folder = tmp_path / "judge"
    shutil.copytree(BASE_POLICY, folder, ignore=shutil.ignore_patterns("README.md"))
    return folder


def snippets(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


def test_a_judges_card_says_what_is_known_in_both_forms(judge: Path) -> None:
    save_facts(judge, FACTS)
    assert read_facts(judge) == FACTS
    written = model_card(judge, "judge", "org/flags")
    card = ModelCard(written)
    assert (card.data.license, card.data.base_model) == ("mit", "Qwen/Qwen3-VL-2B-Instruct")
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "image-text-to-text")
    assert card.data.datasets == ["CodeGoat24/HPD"]
    first, second, third = card.data.eval_results
    assert (first.dataset_type, first.metric_type, first.metric_value) == (
        "TIGER-Lab/GenAI-Bench",
        "accuracy without ties",
        0.7123,
    )
    assert (first.task_name, first.dataset_split, first.dataset_revision) == ("image generation, pairs", "test", "abc")
    assert first.source_url == "https://example.org/log"
    assert (second.metric_value, third.dataset_type) == (0.5, "flags")
    for part in ("It judges flags.", "| learning rate | 2.5e-06 |", "| our own &#124; flags | 12 |", "It knows flags"):
        assert part in card.text
    assert f"| parameters | {parameters(judge):,} |" in card.text

    (path, content), *others = eval_results(judge).items()
    assert (path, others) == (".eval_results/TIGER-Lab--GenAI-Bench.yaml", [])
    assert parse_eval_result_entries(yaml.safe_load(content)) == [
        EvalResultEntry(
            dataset_id="TIGER-Lab/GenAI-Bench",
            task_id="image_generation_pairs",
            value=0.7123,
            dataset_revision="abc",
            date="2026-11-21",
            source_url="https://example.org/log",
            notes="accuracy without ties; test; both orders",
        ),
        EvalResultEntry("TIGER-Lab/GenAI-Bench", "video_generation_pairs", 0.5, notes="accuracy"),
    ]


def test_the_snippet_runs(judge: Path) -> None:
    save_facts(judge, ModelFacts(family="2.0-qwen3vl"))
    load, ask = snippets(model_card(judge, "judge", str(judge)))
    names: dict[str, Any] = {}
    exec(load, names)
    assert names["model"].num_parameters() == parameters(judge)
    exec(ask, names)
    assert names["judge"].name == judge.name


def test_a_card_claims_nothing_that_nobody_said(judge: Path) -> None:
    card = ModelCard(model_card(judge, "judge", "org/flags"))
    assert (card.data.license, card.data.base_model, card.data.eval_results) == (None, None, None)
    assert card.text.count("Nothing is noted.") == 2
    assert "Nothing was measured." in card.text
    assert eval_results(judge) == {}
    assert len(snippets(card.text)) == 1, "nobody knows in whose words it is to be asked"
    known = model_card(judge, "judge", "me/UnifiedReward-2.0-qwen3vl-9b")
    assert 'judge = load_judge("me/UnifiedReward-2.0-qwen3vl-9b")' in snippets(known)[1]


def test_a_written_card_is_kept_and_completed(judge: Path) -> None:
    header = "---\nlicense: apache-2.0\ntags: [mine]\n---\n"
    (judge / "README.md").write_text(f'{header}\n# My judge\n\nload_judge("this folder")\n')
    save_facts(judge, FACTS)
    card = ModelCard(model_card(judge, "judge", "org/flags"))
    assert (card.data.license, card.data.tags) == ("apache-2.0", ["mine", "reward-model", "unireward"])
    assert card.text.lstrip().startswith('# My judge\n\nload_judge("org/flags")\n\n## Evaluation\n')
    assert len(card.data.eval_results) == 3
    (judge / "README.md").write_text(model_card(judge, "judge", "org/flags"))
    assert ModelCard(model_card(judge, "judge", "org/flags")).content == card.content, (
        "once completed it stays as it is"
    )


def test_an_adapter_names_its_base(tmp_path: Path) -> None:
    peft = {"base_model_name_or_path": "org/base", "peft_type": "LORA", "r": 16, "target_modules": ["v_proj", "q_proj"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(peft))
    card = ModelCard(model_card(tmp_path, "adapter", "me/adapter"))
    assert (card.data.base_model, card.data.library_name) == ("org/base", "peft")
    assert "| on | q_proj, v_proj |" in card.text
    for code in snippets(card.text):
        ast.parse(code)
    (tmp_path / "adapter_config.json").write_text(json.dumps(peft | {"base_model_name_or_path": str(tmp_path)}))
    with pytest.raises(UniRewardError, match="names the model on the Hub that this adapter belongs to"):
        model_card(tmp_path, "adapter", "me/adapter")


def test_the_card_of_a_training_run_goes_to_the_hub_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "pytorch_lora_weights.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    use = dpo_card.LORA.format(pipeline="stabilityai/sdxl-turbo", more="", where="")
    (tmp_path / "README.md").write_text(f"---\nbase_model: stabilityai/sdxl-turbo\n---\n\n{use}\n")
    card = ModelCard(model_card(tmp_path, "adapter", "me/aligned"))
    assert card.data.base_model == "stabilityai/sdxl-turbo"
    assert 'load_lora_weights("me/aligned")' in card.text


def test_a_pipelines_card_names_its_parts(tmp_path: Path) -> None:
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": [None, None],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    card = ModelCard(model_card(tmp_path, "pipeline", "me/pipe"))
    assert "| pipeline | StableDiffusionPipeline |" in card.text
    assert "| parts | unet, vae |" in card.text
    assert card.data.library_name == "diffusers"


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("{", "is no JSON file that can be read"),
        ("[]", "must hold an object, got a list"),
        ('{"license": "mit"}', "has 'license', and known are summary, licence, base_model"),
        ('{"evaluations": {}}', "'evaluations' must be a list"),
        ('{"evaluations": [3]}', "evaluation 0 must be an object"),
        ('{"evaluations": [{"dataset": "x", "task": "y"}]}', "evaluation 0 has no 'value'"),
        ('{"evaluations": [{"dataset": "x", "task": "y", "value": "0.7"}]}', "evaluation 0: 'value' must be a number"),
        ('{"evaluations": [{"dataset": 3, "task": "y", "value": 0.7}]}', "evaluation 0: 'dataset' must be a text"),
        ('{"training": ["fast"]}', "'training' must be an object, got a list"),
        ('{"licence": 3}', "'licence' must be a text, got a int"),
        ('{"limits": "none"}', "'limits' must be a list, got a str"),
        ('{"data": ["HPD"]}', "data 0 must be an object, got a str"),
    ],
)
def test_facts_that_are_none_are_said(tmp_path: Path, said: str, complaint: str) -> None:
    (tmp_path / "model_facts.json").write_text(said)
    with pytest.raises(UniRewardError, match=re.escape(complaint)):
        read_facts(tmp_path)


def test_a_folder_of_another_kind_is_refused(judge: Path, tmp_path: Path) -> None:
    with pytest.raises(UniRewardError, match=r"is no pipeline: it has no model_index\.json"):
        model_card(judge, "pipeline", "org/x")
    with pytest.raises(UniRewardError, match=r"no adapter_config\.json and no pytorch_lora_weights\.safetensors"):
        model_card(judge, "adapter", "org/x")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"\xff" * 20, "is no safetensors file, or cut off"),
        (b"", "is no safetensors file, or cut off"),
        ((99).to_bytes(8, "little") + b'{"a": ', "is no safetensors file, or cut off"),
        ((2).to_bytes(8, "little") + b"[]", "is no safetensors file, or cut off"),
        ((10).to_bytes(8, "little") + b'{"a": [1]}', "has a header that makes no sense"),
    ],
)
def test_weights_that_cannot_be_read_are_named(judge: Path, content: bytes, complaint: str) -> None:
    (judge / "broken.safetensors").write_bytes(content)
    with pytest.raises(UniRewardError, match=rf"broken\.safetensors' {complaint}: save it again"):
        model_card(judge, "judge", "org/x")
