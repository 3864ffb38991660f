"""`unireward push`: what it shows, what it prints for programs, and how it ends."""

import json
from math import inf
from pathlib import Path

import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard, parse_eval_result_entries

from hub.licences import UNKNOWN
from hub.model_facts import Evaluation, ModelFacts, save_facts
from tests.hub.conftest import TOKEN
from tests.hub.hub_server import Fault, HubServer
from unireward_plugins.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, output and errors, in which the token never is."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    assert TOKEN not in shown.out + shown.err
    return code, shown.out, shown.err


def test_a_dry_run_shows_files_and_card_then_the_push_does_it(
    server: HubServer, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "push", "pairs", pairs, "org/pairs", "--private", "--dry-run")
    assert code == 0
    assert out.startswith("file\tbecomes\tbytes\tkept in\n.unireward.json\tnew\t")
    (table,) = (pairs / "data").iterdir()
    assert f"data/{table.name}\tnew\t{table.stat().st_size:,}\tLFS\n" in out
    assert 'load_dataset("org/pairs", split="train")' in out
    assert "would go to a private repository; nothing was sent" in err
    assert not server.storage.repositories
    code, out, err = run(capsys, "push", "pairs", pairs, "org/pairs", "--private")
    assert (code, server.dataset("org/pairs").private) == (0, True)
    assert f"pushed to {server.url}/datasets/org/pairs" in err
    assert DatasetCard.load("org/pairs").data.to_dict()["configs"][0]["config_name"] == "default"
    code, out, err = run(capsys, "push", "pairs", pairs, "org/pairs")
    assert (code, "\tnew\t" in out) == (0, False)
    assert f"nothing has changed at {server.url}/datasets/org/pairs" in err


def test_programs_get_json(server: HubServer, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "push", "pairs", pairs, "org/pairs", "--dry-run", "--json")
    planned = json.loads(out)
    assert (code, planned["changes"], planned["compared"], planned["private"]) == (0, True, True, False)
    assert planned["card"].startswith("---\n")
    code, out, _ = run(capsys, "push", "pairs", pairs, "org/pairs", "--json")
    pushed = json.loads(out)
    assert pushed["commit"] == server.dataset("org/pairs").head.oid
    assert pushed["files"] == planned["files"]


def test_a_licence_is_named_when_pushing_and_must_be_one_that_the_hub_knows(
    server: HubServer, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "push", "pairs", pairs, "org/pairs", "--dry-run")
    assert (code, "license:" in out, UNKNOWN in out, "--license ID names one" in err) == (0, False, True, True)
    for dry in ("--dry-run", ""):
        code, _, err = run(capsys, "push", "pairs", pairs, "org/pairs", "--license", "CC BY 4.0", *filter(None, [dry]))
        assert (code, "no licence 'CC BY 4.0'. Did you mean 'cc-by-4.0'?" in err) == (2, True)
    assert not server.storage.repositories
    before = (pairs / "README.md").read_text()
    assert run(capsys, "push", "pairs", pairs, "org/pairs", "--license", "cc-by-4.0")[0] == 0
    card = DatasetCard.load("org/pairs", ignore_metadata_errors=False)
    assert card.data.license == "cc-by-4.0"
    assert card.data.to_dict()["configs"] == DatasetCard(before).data.to_dict()["configs"]
    assert "Licence: `cc-by-4.0`." in card.text
    assert UNKNOWN not in card.text
    assert (pairs / "README.md").read_text() == before
    code, _, err = run(capsys, "push", "pairs", pairs, "org/pairs", "--license", "cc-by-4.0")
    assert (code, "nothing has changed" in err) == (0, True)
    code, _, err = run(capsys, "push", "pairs", pairs, "org/pairs")
    assert (code, "nothing has changed" in err) == (0, True), "what was named once stays named"
    (pairs / "README.md").write_text(before.replace("---\n", "---\nlicense: apache-2.0\n", 1))
    code, out, _ = run(capsys, "push", "pairs", pairs, "org/pairs", "--dry-run")
    assert (code, "license: apache-2.0" in out, "license: cc-by-4.0" in out) == (0, True, False), "the folder's counts"
    (pairs / "README.md").write_text(before)
    server.fault = Fault("drop_before", times=inf, at="tags-by-type")
    code, _, err = run(capsys, "push", "pairs", pairs, "org/pairs", "--license", "mit")
    assert (code, "asking for the licences of org/pairs failed" in err) == (3, True)


def test_models_go_to_model_repositories_with_a_card(
    server: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    settings = {"peft_type": "LORA", "base_model_name_or_path": "org/base"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    save_facts(folder, ModelFacts(licence="mit", evaluations=[Evaluation("org/bench", "image pairs", 0.75)]))
    code, out, err = run(
        capsys, "push", "adapter", folder, "org/adapter", "--license", "apache-2.0", "--dry-run", "--json"
    )
    assert (code, ModelCard(json.loads(out)["card"]).data.license) == (0, "apache-2.0")
    code, out, err = run(capsys, "push", "adapter", folder, "org/adapter")
    assert code == 0, err
    assert "README.md\tnew\t" in out
    card = ModelCard.load("org/adapter").data
    assert (card.base_model, card.license) == ("org/base", "mit")
    assert [result.metric_value for result in card.eval_results or []] == [0.75]
    (results,) = [content for name, content in server.model("org/adapter").files.items() if name.startswith(".eval")]
    (entry,) = parse_eval_result_entries(yaml.safe_load(results))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("org/bench", "image_pairs", 0.75)
    assert not (folder / "README.md").exists(), "what is pushed is made up for the Hub; the folder stays as it is"


def test_how_it_ends_says_why(server: HubServer, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.fault = Fault("drop_before", times=inf)
    code, _, err = run(capsys, "push", "pairs", pairs, "org/pairs")
    assert (code, "the same push goes on from there" in err) == (3, True)
    code, out, err = run(capsys, "push", "pairs", pairs, "org/pairs", "--dry-run")
    assert (code, "\tnew\t" in out) == (0, True)
    assert "the repository could not be compared with: reading org/pairs failed" in err
    assert "all is shown as new\n" in err
    code, _, err = run(capsys, "push", "pairs", pairs, "org/pairs", "--dry-run", "--license", "mit")
    assert (code, "all is shown as new, and --license mit may be none that the Hub knows" in err) == (0, True)
    server.fault = None
    (pairs / "state.pt").write_bytes(b"x")
    code, _, err = run(capsys, "push", "pairs", pairs, "org/pairs")
    assert (code, "state.pt is a pickle" in err) == (2, True)
    assert run(capsys, "push", "pairs", pairs, "pairs")[0] == 2
    (pairs / "state.pt").unlink()
    code, _, err = run(capsys, "push", "pairs", pairs, "org/pairs", "--remove", "none.md")
    assert (code, "none.md was not there to be removed" in err) == (0, True)
    assert run(capsys, "push", "pairs", pairs, "org/pairs", "--remove", "README.md")[0] == 2


def test_pairs_that_are_pushed_as_a_model_are_told_to_be_pairs(
    server: HubServer, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "push", "judge", pairs, "org/pairs")
    assert (code, "It holds pairs: push them with `unireward push pairs" in err) == (2, True)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("Nothing but words.\n")
    code, _, err = run(capsys, "push", "judge", tmp_path / "notes", "org/pairs")
    assert (code, "The kinds of models are judge, adapter, pipeline" in err) == (2, True)
    assert not server.storage.repositories
