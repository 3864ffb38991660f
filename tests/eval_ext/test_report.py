"""The results page, over folders that the real lmms-eval 0.7.3 wrote and one that `unireward eval-generator` writes.

`lmms_results` holds two runs over the small copies of `tests/eval_ext/lmms/samples.py`: the embedded judge, and
lmms-eval's own model `dummy`, which says "Image 1 is better" to everything. Of the files only what no report reads was
taken out (names of functions, and in the samples the copies of one record under every metric).
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from eval_ext import report_cases
from eval_ext.benchmark_metrics import accuracy_without_ties, by_group, flip_rate, in_one_order, macro
from eval_ext.generators import read_generators
from eval_ext.published import tables_for
from eval_ext.report import by_task, page
from eval_ext.report_command import report
from eval_ext.report_figures import own_rows
from eval_ext.results import Run, Sample, TaskResult, choice_of, read_runs
from unireward_plugins.errors import UniRewardError
from unireward_plugins.generator_names import generator_names
from unireward_plugins.media import Media
from unireward_plugins.types import Case, Verdict

RESULTS = Path(__file__).parent / "lmms_results"
GENAI, VL, EDIT = "unireward_genai_image", "unireward_vl_rewardbench", "unireward_editreward_3"
HOSTILE = "</style></script><script>alert(1)</script><img src=x onerror=alert(2)>\" ' &amp; \u202e"
VOID = {"meta", "img", "rect", "line", "br"}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(RESULTS, tmp_path / "results"))


@pytest.fixture
def no_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without pictures: finding them imports lmms-eval, which the test of the command does for real."""
    monkeypatch.setattr(report_cases, "find_cases", lambda result, samples: ({}, "no pictures in this test"))


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    return read_runs(RESULTS)


class Page(HTMLParser):
    """The tags of a page, checked to be closed in order, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def file(results: Path, which: str, name: str) -> Path:
    (found,) = (results / which).glob(f"*{name}")
    return found


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


# --- reading ---------------------------------------------------------------------------------------------------------


def test_runs_are_read_with_their_tasks_samples_and_settings(runs: list[Run]) -> None:
    shapes, first = runs
    assert (shapes.model, first.model) == ("shapes", "dummy")
    assert shapes.date < first.date
    assert set(shapes.tasks) == {GENAI, VL, EDIT}
    assert shapes.settings["model arguments"] == "judge=shapes"
    genai = shapes.tasks[GENAI]
    assert genai.documents == len(genai.samples) == 8
    assert genai.samples[0].reply.endswith("is better")
    assert genai.provenance["sources"][0]["rubric"] == "shapes.image_gen.pair"
    assert genai.provenance["packages"]["lmms-eval"] == "0.7.3"


def test_the_figures_of_a_run_follow_from_its_samples(runs: list[Run]) -> None:
    for run in runs:
        for task in (GENAI, VL):
            result = run.tasks[task]
            assert len(result.pairs) == result.documents / 2
            assert result.metrics["accuracy_without_ties"] == pytest.approx(accuracy_without_ties(result.pairs))
            assert result.metrics["flip_rate"] == pytest.approx(flip_rate(result.pairs))
        assert run.tasks[VL].metrics["accuracy_without_ties_by_group"] == by_group(
            run.tasks[VL].pairs, accuracy_without_ties
        )
    assert runs[0].tasks[EDIT].pairs == [], "a judge that took no part has no pairs"


@pytest.mark.parametrize(
    ("label", "choice"),
    [("first", "first"), ("tie", "tie"), ("5,3", "first"), ("3,3", "tie"), ("1,4", "second"), ("4", None)],
)
def test_a_label_is_a_choice_or_grades(label: str, choice: str | None) -> None:
    assert choice_of(label) == choice


def cut_off(path: Path) -> None:
    edit(path, lambda text: text[: len(text) // 2])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: cut_off(file(root, "shapes", "_results.json")), r"_results\.json is not whole.*remove it"),
        (lambda root: file(root, "shapes", "_results.json").write_text("[1]"), r"_results\.json is not a result file"),
        (lambda root: file(root, "first", "_results.json").write_text('{"date": "x"}'), r"KeyError\('config'\)"),
        (lambda root: cut_off(file(root, "first", f"{GENAI}.jsonl")), r"genai_image\.jsonl, line \d+, is not a whole"),
        (
            lambda root: edit(file(root, "first", f"{VL}.jsonl"), lambda text: text[: text.index("\n") + 1]),
            r"vl_rewardbench\.jsonl holds 1 of 12 documents.*Run the task again",
        ),
        (
            lambda root: edit(file(root, "first", f"{VL}.jsonl"), lambda text: text.replace('"filtered_resps"', '"x"')),
            r"vl_rewardbench\.jsonl, line 1, .*filtered_resps",
        ),
        (lambda root: file(root, "first", "_results.json").unlink(), r"has no .*_results\.json beside it"),
    ],
)
def test_a_file_that_is_not_whole_is_named_with_the_way_out(
    results: Path, spoil: Callable[[Path], object], told: str
) -> None:
    spoil(results)
    with pytest.raises(UniRewardError, match=told):
        read_runs(results)


def test_a_folder_without_results_says_how_to_write_some(tmp_path: Path) -> None:
    with pytest.raises(UniRewardError, match=r"holds no \*_results\.json.*--log_samples"):
        read_runs(tmp_path)
    with pytest.raises(UniRewardError, match="is no folder"):
        read_runs(tmp_path / "nowhere")
    assert read_runs(tmp_path, may_be_none=True) == []


def test_without_samples_there_are_figures_and_nothing_to_look_through(results: Path) -> None:
    for samples in results.rglob("*.jsonl"):
        samples.unlink()
    html = page(read_runs(results))
    assert "lmms-eval logs them with --log_samples" in html
    assert "66.7%" in Page(html).text


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_datasets")
def test_the_page_needs_nothing_else_and_is_well_formed(runs: list[Run]) -> None:
    parsed = Page(page(runs))
    tags = {tag for tag, _ in parsed.found}
    assert not tags & {"script", "link", "iframe", "object", "form"}
    for tag, attributes in parsed.found:
        assert not any(name.startswith("on") for name in attributes)
        assert tag == "a" or not {"href", "src"} & attributes.keys() or str(attributes["src"]).startswith("data:")
    assert any("default-src 'none'" in str(attributes.get("content")) for _, attributes in parsed.found)


@pytest.mark.usefixtures("no_datasets")
def test_the_page_shows_the_figures_of_every_judge_with_their_intervals(runs: list[Run]) -> None:
    text = Page(page(runs)).text
    for run in runs:
        for name in ("accuracy_without_ties", "accuracy_with_ties", "flip_rate"):
            value, (low, high) = run.tasks[GENAI].metrics[name], run.tasks[GENAI].metrics[f"{name}_95"]
            assert f"{value:.1%}{100 * low:.1f} to {100 * high:.1f}" in text
    assert "shapes does not judge such cases (6 documents)" in text
    assert "4 of 4 whose choice changes with their order" in text, "dummy follows the position always"


@pytest.mark.usefixtures("no_datasets")
def test_ours_stands_beside_the_published_figures_which_keep_source_and_mark(runs: list[Run]) -> None:
    html = page(runs)
    text = Page(html).text
    (table,) = tables_for(VL)
    for row in table.rows:
        assert row.model in text
        assert f'href="{row.source.url}"' in html
        assert row.mark is None or row.mark in text
    (shapes, _) = (entry for entry in sorted(by_task(runs)[VL], key=lambda entry: entry.label != "shapes"))
    rows = dict(own_rows(table, shapes))
    pairs = shapes.result.pairs
    once = in_one_order(accuracy_without_ties)
    groups = by_group(pairs, accuracy_without_ties)
    expected = [groups["general"], groups["hallucination"], groups["reasoning"], accuracy_without_ties(pairs)]
    assert rows[""] == pytest.approx([100 * (value or 0) for value in [*expected, macro(pairs, accuracy_without_ties)]])
    assert rows[", asked once"][3:] == pytest.approx([100 * (once(pairs) or 0), 100 * (macro(pairs, once) or 0)])
    regrouped = shapes.result.metrics["macro_accuracy_without_ties_unifiedreward_groups"]
    assert rows[", in UnifiedReward's groups"][4] == pytest.approx(100 * regrouped)


@pytest.mark.usefixtures("no_datasets")
def test_every_number_can_be_traced(results: Path) -> None:
    def with_newer_fields(text: str) -> str:
        told = json.loads(text)
        (record,) = told["results"][GENAI]["provenance,none"]
        record["datasets"] = ["TIGER-Lab/GenAI-Bench@0c0c"]
        record["sources"][0]["rubric_digest"] = "0123456789abcdef"
        return json.dumps(told)

    edit(file(results, "shapes", "_results.json"), with_newer_fields)
    runs = read_runs(results)
    text = Page(page(runs)).text
    source = runs[0].tasks[GENAI].provenance["sources"][0]
    versions_and_seeds = ("torch 2.13.0", "seed of the intervals", "0 1234 1234 1234")
    data = "TIGER-Lab/GenAI-Bench, image_generation, test"
    for traced in (
        source["revision"],
        source["rubric"],
        "rubric digest: 0123456789abcdef",
        "data: TIGER-Lab/GenAI-Bench@0c0c",
        "readout: generate",
        "judge=shapes",
        *versions_and_seeds,
        data,
    ):
        assert traced in text


@pytest.mark.usefixtures("no_datasets")
def test_what_an_item_cost_is_there_for_every_judge(runs: list[Run]) -> None:
    parsed = Page(page(runs))
    assert "seconds an item" in parsed.text
    shapes, dummy = (run.tasks[GENAI] for run in runs)
    assert (shapes.items, shapes.documents) == (4, 8)
    a_question = shapes.provenance["seconds_per_document"]
    assert f"48{a_question:.3g}{2 * a_question:.3g}" in parsed.text
    assert dummy.provenance["seconds_per_document"] is None
    whole = float(runs[1].settings["seconds for everything"]) / 20  # documents of all its tasks
    assert f"48\N{ALMOST EQUAL TO}{whole:.3g}\N{ALMOST EQUAL TO}{2 * whole:.3g}" in parsed.text


@pytest.mark.usefixtures("no_datasets")
def test_replies_without_a_verdict_are_told_of_once_where_there_are_none(runs: list[Run]) -> None:
    text = Page(page(runs)).text
    assert text.count("replies hold no verdict") == 1
    assert "Every reply" not in text


@pytest.mark.usefixtures("no_datasets")
def test_requests_that_failed_are_told_of(results: Path) -> None:
    def with_failures(text: str) -> str:
        told = json.loads(text)
        told["results"][GENAI]["provenance,none"][0]["unread"] = {"request_failed": 3}
        return json.dumps(told)

    edit(file(results, "first", "_results.json"), with_failures)
    text = Page(page(read_runs(results))).text
    assert "3 requests of dummy got no reply. No figure holds the items they were about." in text
    assert "0replies hold no verdict" in text


@pytest.mark.usefixtures("no_datasets")
def test_the_newest_run_of_a_judge_counts_and_other_settings_make_another_judge(results: Path) -> None:
    old = file(results, "shapes", "_results.json")
    for path in list((results / "shapes").iterdir()):
        shutil.copy(path, path.with_name(path.name.replace("20261122_035513", "20261123_000000")))
    new = file(results, "shapes", "20261123_000000_results.json")
    edit(new, lambda text: text.replace('"20261122_035513"', '"20261123_000000"'))
    runs = read_runs(results)
    assert {entry.run.date for entry in by_task(runs)[EDIT]} == {"20261123_000000"}
    assert "1 older run of the same left out" in Page(page(runs)).text
    edit(old, lambda text: text.replace("judge=shapes", "judge=shapes,readout=likelihood"))
    labels = {entry.label for entry in by_task(read_runs(results))[EDIT]}
    assert labels == {"shapes (judge=shapes)", "shapes (judge=shapes,readout=likelihood)"}


@pytest.mark.usefixtures("no_datasets")
def test_hostile_texts_are_shown_and_do_nothing(results: Path) -> None:
    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: poison(one) if key in WORDS or isinstance(one, (dict, list)) else one for key, one in value.items()
            }
        return [poison(one) for one in value] if isinstance(value, list) else HOSTILE

    WORDS = {"model_args", "reply", "rubric", "readout", "revision", "judge", "item", "group", "input", "python"}
    for path in results.rglob("*_results.json"):
        told = json.loads(path.read_text())
        told["config"]["model_args"] = f"judge={HOSTILE}"
        for values in told["results"].values():
            values["provenance,none"][0]["sources"] = poison(values["provenance,none"][0]["sources"])
            values["accuracy_without_ties_by_group,none"] = [{HOSTILE: 0.5, "other": 0.25}]
            values[f"{HOSTILE},none"] = 0.5
        for configuration in told["configs"].values():
            configuration |= {"dataset_path": HOSTILE, "dataset_name": HOSTILE}
        path.write_text(json.dumps(told))
    for path in results.rglob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for line in lines:
            line["filtered_resps"], line["input"] = HOSTILE, HOSTILE
            line["provenance"] |= {"item": f"{line['provenance']['item']} {HOSTILE}", "group": HOSTILE}
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    parsed = Page(page(read_runs(results)))
    assert "script" not in {tag for tag, _ in parsed.found}
    assert not any(name.startswith("on") for _, attributes in parsed.found for name in attributes)
    assert parsed.text.count("<script>alert(1)</script>") > 20


def test_hostile_cases_are_shown_and_do_nothing(runs: list[Run]) -> None:
    one = report_cases.asked(runs[1].tasks[VL])[0]
    context = Media.of(np.zeros((8, 8, 3), np.uint8))
    parsed = Page(report_cases.card(one, Case(HOSTILE, (HOSTILE, f"{HOSTILE}2"), (context,))))
    assert "script" not in {tag for tag, _ in parsed.found}
    assert not any(name.startswith("on") for _, attributes in parsed.found for name in attributes)
    assert parsed.text.count("<script>alert(1)</script>") == 3


def test_a_task_of_somebody_else_is_shown_with_its_own_figures(results: Path) -> None:
    path = file(results, "first", "_results.json")
    told = json.loads(path.read_text())
    told["results"] = {"videomme": {"alias": "videomme", "videomme_perception_score,none": 61.25}}
    told["configs"] = {"videomme": {"dataset_path": "lmms-lab/Video-MME", "test_split": "test"}}
    told["n-samples"] = {"videomme": {"original": 4, "effective": 4}}
    path.write_text(json.dumps(told))
    for samples in (results / "first").glob("*.jsonl"):
        samples.unlink()
    shutil.rmtree(results / "shapes")
    text = Page(page(read_runs(results))).text
    assert "videomme perception score" in text
    assert "61.25" in text
    assert "Long video understanding after DPO" in text


def limited(results: Path, which: str) -> Path:
    """The same results as if the tasks had 1,000 more documents, and a limit had been set."""
    path = file(results, which, "_results.json")
    told = json.loads(path.read_text())
    told["config"]["limit"] = 12.0
    for counts in told["n-samples"].values():
        counts["original"] += 1000
    path.write_text(json.dumps(told))
    return path.parent


@pytest.mark.usefixtures("no_datasets")
def test_a_limit_is_told_in_whole_numbers_and_not_of_tasks_that_were_left_out(results: Path) -> None:
    (run,) = read_runs(limited(results, "shapes"))
    assert run.settings["limit"] == "12"
    text = Page(page([run])).text
    assert "shapes was asked about 8 of the 1,008 documents only." in text
    assert "shapes does not judge such cases (6 documents)" in text
    assert "6 of the 1,006" not in text
    assert "documents only" not in Page(page(read_runs(results / "first"))).text


@pytest.mark.usefixtures("no_datasets")
def test_half_pairs_missing_intervals_and_the_zone_of_times_are_told(results: Path) -> None:
    path = file(results, "first", "_results.json")
    told = json.loads(path.read_text())
    before = Page(page(read_runs(path.parent))).text
    told["results"][GENAI]["provenance,none"][0]["half_pairs"] = 1
    told["results"][GENAI] |= {"rank_correlation,none": 1.0, "rank_correlation_95,none": None}
    path.write_text(json.dumps(told))
    text = Page(page(read_runs(path.parent))).text
    assert "dummy was asked about 1 pair in one of two orders only" in text
    assert "1.000no interval" in text
    assert "in one of two orders only" not in before
    assert "no interval" not in before
    assert "dummy, 2026-11-22 03:57 (in the zone of lmms-eval's --timezone, Asia/Singapore" in text


# --- generators ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `unireward eval-generator` writes for two painters, judged by one who always prefers what it sees first."""
    pytest.importorskip("diffusers")
    from diffusers_ext.eval_generator import eval_generator
    from tests.diffusers_ext.painter import paint

    def first(cases: list[Case]) -> list[Verdict]:
        return [Verdict((0.75,) if len(case.candidates) == 1 else (1.0, 0.0), reply=HOSTILE) for case in cases]

    folder = tmp_path_factory.mktemp("generators") / "measured"
    eval_generator(paint, ["a red circle", HOSTILE], judges=[first], against=paint, folder=folder, samples=2)
    return folder


def test_generators_are_shown_with_scores_win_rate_and_flips(generated: Path) -> None:
    (found,) = read_generators(generated.parent)
    html = page([], [found])
    parsed = Page(html)
    assert "4 games of" in parsed.text
    assert "0.750" in parsed.text
    assert "50.0%" in parsed.text, "the win rate of a judge that follows the position"
    assert html.count('src="data:image/webp;base64,') == 8
    assert "script" not in {tag for tag, _ in parsed.found}


def test_generators_that_differ_in_their_calls_alone_are_told_apart_as_in_the_gallery(tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    from diffusers_ext.eval_generator import eval_generator
    from tests.diffusers_ext.painter import bright, paint

    folder = tmp_path / "measured"
    eval_generator(paint, ["a red circle"], judges=[bright], against=paint, against_call={"side": 8}, folder=folder)
    (found,) = read_generators(folder)
    first, second = found.names.values()
    assert second == f"{first} (side=8)"
    text = Page(page([], [found])).text
    assert f"{first} against {second}" in text
    assert f"{first} wins against {second}" in text
    assert f"sampling: {second}" in text
    assert "1 prompt, 1 sample of each" in text
    assert f"{first} against {second}: 1 prompt, one sample of each" in (folder / "gallery.html").read_text()


def test_generators_of_one_name_are_told_apart_by_their_weights_or_roles() -> None:
    tuned = {"pipeline": "org/base", "weights": "0a1b2c3d4e5f", "call": {"guidance_scale": 0}}
    base = {**tuned, "weights": "f0f0f0f0f0f0"}
    assert generator_names({"pipeline": tuned}) == {"pipeline": "org/base (guidance_scale=0)"}
    assert list(generator_names({"pipeline": tuned, "against": base}).values()) == [
        "org/base@0a1b2c3d (guidance_scale=0)",
        "org/base@f0f0f0f0 (guidance_scale=0)",
    ]
    assert len(set(generator_names({"pipeline": base, "against": base}).values())) == 2


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda root: cut_off(root / "results.json"), r"results\.json is not whole.*writes it again"),
        (lambda root: cut_off(root / "items.jsonl"), r"items\.jsonl is missing or not whole"),
        (lambda root: (root / "items.jsonl").unlink(), r"items\.jsonl is missing or not whole"),
        (
            lambda root: edit(root / "items.jsonl", lambda text: text[: text.index("\n")]),
            r"items\.jsonl holds 1 of 2 prompts",
        ),
        (
            lambda root: edit(root / "results.json", lambda text: text.replace("generator/1", "generator/2")),
            r"layout 'unireward\.eval_generator/2'",
        ),
    ],
)
def test_a_spoilt_folder_of_a_generator_is_named(
    generated: Path, tmp_path: Path, spoil: Callable[[Path], object], told: str
) -> None:
    spoil(Path(shutil.copytree(generated, tmp_path / "copy")))
    with pytest.raises(UniRewardError, match=told):
        read_generators(tmp_path)


def test_samples_outside_the_folder_are_not_shown(generated: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(generated, tmp_path / "copy"))
    picture = next((generated / "pipeline").iterdir())
    edit(copy / "items.jsonl", lambda text: re.sub(r'"file": "[^"]+"', f'"file": "{picture}"', text))
    html = page([], read_generators(tmp_path))
    assert "outside the folder" in html
    assert "data:image/webp" not in html


@pytest.mark.filterwarnings("ignore")  # what lmms-eval warns of when it is imported is its own
def test_a_limited_run_of_shapes_shows_its_own_items() -> None:
    """What is drawn depends on how many items the cell had, of which the run measured one."""
    pytest.importorskip("lmms_eval")
    from eval_ext.lmms.shapes import drawn

    item, case = drawn("image generation, pair", 5)[0]
    said = {"item": "0", "order": "forward", "label": ",".join(map(str, item.grades)), "asked": "case"}
    sample = Sample(0, {**said, "group": "held out" if item.held_out else ""}, reply="")
    name = "unireward_shapes_image_generation_pair"
    result = TaskResult(name, {"provenance": {"items": 5}}, settings={}, documents=1, samples=[sample])
    assert report_cases.find_cases(result, [sample]) == ({0: case}, "")


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_embeds_the_pictures_of_the_embedded_world(tmp_path: Path) -> None:
    """In a process of its own, as the command is run: it forbids itself the network before anything is imported."""
    pytest.importorskip("lmms_eval")
    from tests.eval_ext.lmms.samples import genai

    genai(tmp_path / "data")
    shutil.copytree(RESULTS, tmp_path / "results")
    shutil.rmtree(tmp_path / "results" / "shapes")
    for path in (tmp_path / "results").rglob("*.jsonl"):
        if VL in path.name:
            path.unlink()
    done = subprocess.run(
        [sys.executable, "-c", "from eval_ext.report_command import report; report()", "results", "-o", "page.html"],
        cwd=tmp_path,
        env={
            "UNIREWARD_DATA": str(tmp_path / "data"),
            "HF_HOME": str(tmp_path / "home"),
            "PATH": "/usr/bin:/bin",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "page.html").read_text()
    assert "The pictures are not here" not in html
    assert html.count('src="data:image/webp;base64,') == 8, "two pictures of each of four pairs"


@pytest.mark.usefixtures("no_datasets")
def test_the_command_says_what_it_read(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = CliRunner().invoke(report, [str(results), "-o", str(tmp_path / "page.html"), "--json"])
    assert done.exit_code == 0, done.output
    lost = CliRunner().invoke(report, [str(results), "-o", str(tmp_path / "nowhere" / "page.html")])
    assert "there is no folder" in str(lost.exception)
    assert not (tmp_path / "nowhere").exists()
    told = json.loads(done.stdout)
    assert Path(told["page"]).read_text().startswith("<!doctype html>")
    assert len(told["runs"]) == 2
    assert told["generators"] == []
