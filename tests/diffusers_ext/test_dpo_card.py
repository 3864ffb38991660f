"""The card of an aligned model: what it calls the pipeline, the pairs and the judge, wherever they lie."""

from pathlib import Path

import pytest
import yaml

from diffusers_ext.dpo_card import model_card
from diffusers_ext.dpo_config import DPOConfig

EVALUATION = {"step": 1, "reward": 0.5, "win_rate": 1.0, "unread": 0, "best": True}


def card(pipeline: str, pairs: str = "pairs", **settings: object) -> str:
    config = DPOConfig(pipeline=pipeline, pairs=pairs, output="runs/aligned", **settings)  # type: ignore[arg-type]
    return model_card(config, [], [EVALUATION], need="little")


def settings_in(written: str) -> dict[str, object]:
    settings: dict[str, object] = yaml.safe_load(written.rpartition("```yaml\n")[2].removesuffix("```\n"))
    return settings


@pytest.mark.parametrize("place", ["mine/base", "./base", "{here}/mine/base", "base"])
def test_a_folder_is_told_by_its_name_and_never_as_an_id_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("mine/base", "base", "data/pairs", "my/judge"):
        Path(folder).mkdir(parents=True)
    written = card(place.format(here=tmp_path), "data/pairs", judge="my/judge")
    assert "base_model:" not in written
    assert "# base, aligned with preference pairs" in written
    assert 'from_pretrained("base")  # a folder of whoever trained this' in written
    assert "scored by `judge`" in written
    settings = settings_in(written)
    assert (settings["pipeline"], settings["pairs"], settings["judge"]) == ("base", "pairs", "judge")
    assert not any(part in written for part in (str(tmp_path), "mine/", "data/", "my/"))


def test_what_others_can_load_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = card("org/base", "org/pairs", judge="org/judge")
    assert "base_model: org/base\n" in written
    assert 'from_pretrained("org/base")\n' in written
    assert "scored by `org/judge`" in written
    assert settings_in(written)["pairs"] == "org/pairs"
    embedded = card("shapes")
    assert "generator `shapes`, which comes with `pip install 'unireward-plugins[diffusers]'`" in embedded
    assert 'load_pipeline("shapes")\n' in embedded
    assert "base_model:" not in embedded
