"""The proof in miniature, with the real generator, judge, trainer and referee; and what each of its parts says."""

import json
import subprocess
import sys
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("diffusers")
pytest.importorskip("peft")
from diffusers_ext import prove as prove_module
from diffusers_ext.build_pairs import build_pairs
from diffusers_ext.load_pipeline import load_pipeline
from diffusers_ext.preferences import read_preferences
from diffusers_ext.proof_exam import CAPTIONS, NOTHING, Exam, at_random, draw_prompts, examine, oracle, true_grades
from diffusers_ext.proof_page import GAP, SIDE, before_and_after, columns, heading, page, strip, table
from diffusers_ext.proof_plan import CLIPS, CONTROLS, PLAIN, Plan, Result, Run
from diffusers_ext.prove import align_generator, prove, run_arm
from diffusers_ext.prove_command import prove as command
from hub.clips import frames_of
from tests.diffusers_ext.tiny_proof import CALL, CLIP_CALL, TINY, TINY_CLIPS
from tests.hub.conftest import USERS
from tests.hub.hub_server import HubServer
from tests.hub.test_load import printed
from unireward_plugins import Case, Media
from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes.captions import Grades
from unireward_plugins.shapes.check import parse_caption
from unireward_plugins.shapes.data import altered, fulfil
from unireward_plugins.shapes.render import render, render_clips
from unireward_plugins.shapes.scene import ACTIONS

WORKING = """
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from diffusers_ext import prove
with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=prove._start_worker) as pool:
    pool.submit(int).result()
    print("at work", flush=True)
    pool.submit(time.sleep, 600).result()
"""
CLIP_PROMPTS = ["a green circle that moves left", "a small blue square that turns red", "a white cross that grows"]


@pytest.fixture(scope="module")
def proof(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proof")
    return folder, prove(folder, seeds=(0,), plan=TINY, workers=1)


def drawn(prompts):
    """What is asked for, rendered: pictures, or clips where the prompts say what happens."""
    return shown([fulfil(parse_caption(prompt), Random(prompt)) for prompt in prompts])


def shown(subjects, seed=0):
    if hasattr(subjects[0], "action"):
        return [list(map(Image.fromarray, clip)) for clip in render_clips(subjects, seed=seed)]
    return [Image.fromarray(picture) for picture in render(subjects, seed=seed)]


@pytest.mark.parametrize("generator", CAPTIONS)
def test_prompts_are_the_same_every_time_and_no_held_out_one_is_trained_on(generator) -> None:
    training, held_out = draw_prompts(160, 120, generator)
    assert (len(set(training)), len(set(held_out))) == (160, 120)
    assert not set(training) & set(held_out)
    assert set(training) | set(held_out) <= set(map(str, CAPTIONS[generator]()))
    assert draw_prompts(20, 120, generator)[1] == held_out
    count = len(CAPTIONS[generator]())
    with pytest.raises(UniRewardError, match=f"'{generator}' has {count} captions, not {count} "):
        draw_prompts(count, 120, generator)


def test_the_truth_is_that_of_the_referee() -> None:
    prompts = ["a green circle", "a small blue square at the top left", "a large white cross"]
    pictures = drawn(prompts)
    assert [found.alignment for found in true_grades(prompts, pictures)] == [5, 5, 5]
    assert all(found.alignment < 5 for found in true_grades(prompts, pictures[1:] + pictures[:1]))
    assert true_grades(["a green circle"], [Image.new("RGB", (64, 64))])[0].overall == 1


def test_the_truth_of_clips_is_that_of_the_referee_of_clips() -> None:
    clips = drawn(CLIP_PROMPTS)
    assert [found.alignment for found in true_grades(CLIP_PROMPTS, clips)] == [5, 5, 5]
    assert all(found.alignment < 5 for found in true_grades(CLIP_PROMPTS, clips[1:] + clips[:1]))
    stopped, empty = clips[0][:1] * 8, [Image.new("RGB", (64, 64), "white")] * 8
    still, nothing = true_grades(CLIP_PROMPTS[:1] * 2, [stopped, empty])
    assert still.alignment < 5
    assert nothing == NOTHING


@pytest.mark.parametrize(("generator", "count"), [("shapes", 60), ("shapes-clips", 30)])
def test_the_oracle_prefers_what_is_right_and_random_labels_do_not_know_it(generator, count) -> None:
    prompts = list(draw_prompts(count, 0, generator)[0])
    right = [Case(prompt, (Media.of(picture),)) for prompt, picture in zip(prompts, drawn(prompts), strict=True)]
    wrong = [Case(prompt, case.candidates) for prompt, case in zip(prompts[1:] + prompts[:1], right, strict=True)]
    assert all(verdict.scores == (1.0,) for verdict in oracle(right))
    assert np.mean([verdict.scores[0] for verdict in oracle(wrong)]) < 0.8
    assert at_random(right) == at_random(right)
    numbers = [verdict.scores[0] for verdict in at_random(right)]
    assert len(set(numbers)) == count
    assert abs(np.mean(numbers) - 0.5) < 0.2


def test_an_exam_draws_each_prompt_from_its_own_noise_whatever_is_drawn_with_it() -> None:
    pipeline = load_pipeline("shapes")
    prompts = ["a green circle", "a large white cross", "a blue square"]
    exam = examine(pipeline, prompts, seed=7, call=CALL)
    alone = examine(pipeline, prompts[1:2], seed=8, call=CALL)
    assert np.abs(np.asarray(exam.pictures[1], int) - np.asarray(alone.pictures[0], int)).max() <= 1
    assert exam.share.trials == 3
    assert exam.right == tuple(found.alignment == 5 for found in exam.grades)


def test_an_exam_of_clips_draws_each_prompt_from_its_own_noise() -> None:
    pipeline = load_pipeline("shapes-clips")
    exam = examine(pipeline, CLIP_PROMPTS[:2], seed=7, call=CLIP_CALL)
    alone = examine(pipeline, CLIP_PROMPTS[1:2], seed=8, call=CLIP_CALL)
    clip, same = (np.stack([np.asarray(frame, int) for frame in one.pictures[-1]]) for one in (exam, alone))
    assert clip.shape == (8, 64, 64, 3)
    assert np.abs(clip - same).max() <= 1
    assert exam.share.trials == 2


def test_the_embedded_judge_chooses_the_better_clips_for_pairs(tmp_path) -> None:
    prompts = [f"a red circle that {action}" for action in ACTIONS]

    def paint(prompt, *, generator, output_type):
        """A clip of what the prompt asks for, or for every other seed of something else, as pipelines answer."""
        assert output_type == "pil"
        seed = generator.initial_seed()
        clip = fulfil(parse_caption(prompt), Random(seed))
        return (shown([altered(clip, Random(seed)) if seed % 2 else clip], seed),)

    build_pairs(paint, prompts, judge="shapes", folder=tmp_path / "pairs", candidates=4, way="grades")
    pairs = read_preferences(tmp_path / "pairs")
    assert len(pairs) >= 4
    chosen, rejected = (
        [[frame.pil() for frame in frames_of(pairs.pair(index)[role])] for index in range(len(pairs))]
        for role in (0, 1)
    )
    means = [np.mean([found.alignment for found in true_grades(pairs.prompts, clips)]) for clips in (chosen, rejected)]
    assert means[0] > means[1] + 0.5


def test_a_generator_of_clips_is_aligned_with_clips(tmp_path) -> None:
    alignment = align_generator(tmp_path, plan=TINY_CLIPS)
    training, held_out = draw_prompts(4, 4, "shapes-clips")
    pairs = read_preferences(alignment.pairs)
    assert len(pairs) == alignment.run.pairs > 0
    assert set(pairs.prompts) <= set(training)
    assert {len(frames_of(clip)) for clip in pairs.pair(0)} == {8}
    assert alignment.before.prompts == alignment.after.prompts == held_out
    assert [len(clip) for clip in alignment.after.pictures] == [8] * 4
    assert alignment.before.share.value == alignment.run.before
    assert (alignment.adapter / "pytorch_lora_weights.safetensors").is_file()
    with pytest.raises(UniRewardError, match="generator was 'shapes-clips' and is 'shapes'"):
        align_generator(tmp_path, plan=TINY)


def test_a_proof_leaves_a_page_figures_and_a_picture(proof) -> None:
    folder, (result,) = proof
    (run,) = result.runs
    assert result.arm is PLAIN
    assert 0 < run.pairs <= 6
    assert run.before in {count / 8 for count in range(9)}
    assert run.gain == pytest.approx(100 * (run.after - run.before))
    assert json.loads((folder / "proof.json").read_text())[0]["runs"][0]["pairs"] == run.pairs
    assert f"{run.after:.1%}" in (folder / "proof.md").read_text()
    with Image.open(folder / "before-after.png") as picture:
        assert picture.width > 800
    assert (folder / "seed-0" / "diffusion-dpo" / "final" / "pytorch_lora_weights.safetensors").is_file()


def test_a_finished_proof_is_read_and_not_done_again(proof, monkeypatch) -> None:
    folder, (result,) = proof
    monkeypatch.setattr(prove_module, "make_pairs", None)  # would fail where anything is trained
    assert run_arm(folder, TINY, PLAIN, 0) == result.runs[0]


def test_a_proof_that_was_stopped_while_training_goes_on_from_the_checkpoint(proof) -> None:
    folder, (result,) = proof
    (run,) = result.runs
    home = folder / "seed-0" / "diffusion-dpo"
    (home / "result.json").unlink()
    (home / "checkpoints" / "step-00000002").rename(home / "checkpoints" / "stopped")
    steps = len((home / "log.jsonl").read_text().splitlines())
    again = run_arm(folder, TINY, PLAIN, 0)
    assert len((home / "log.jsonl").read_text().splitlines()) == steps == 2
    assert replace(again, seconds=run.seconds) == run


def test_the_workers_of_a_killed_proof_end_with_it() -> None:
    """They would write into its folder while another proof goes on there."""
    with subprocess.Popen([sys.executable, "-c", WORKING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        process.kill()
        assert process.communicate(timeout=60)[0] == ""  # as soon as no worker is left that could write to it


def test_a_folder_with_another_proof_is_left_alone(proof) -> None:
    folder, _ = proof
    with pytest.raises(UniRewardError, match="candidates was 4 and is 2"):
        prove(folder, seeds=(0,), plan=replace(TINY, candidates=2))
    with pytest.raises(UniRewardError, match="a seed at least"):
        prove(folder, seeds=())


def test_an_alignment_for_a_report_goes_on_from_a_proof(proof) -> None:
    folder, _ = proof
    told: list[float] = []
    alignment = align_generator(folder, plan=TINY, watch=lambda doing, share: told.append(share))
    assert alignment.run.arm == PLAIN.name
    assert alignment.before.share.value == alignment.run.before
    assert alignment.after.share.value == alignment.run.after
    assert (alignment.pairs / "gallery.html").is_file()
    assert (alignment.adapter / "pytorch_lora_weights.safetensors").is_file()
    assert told == sorted(told)


PUBLISH = """
import json, sys
from pathlib import Path
from unireward_plugins.shapes.demo import publish_generator, publish_what_was_learned

print(json.dumps([*publish_generator("me"), *publish_what_was_learned(Path(sys.argv[1]), Path(sys.argv[2]), "me")]))
"""
LOAD = """
import json
from datasets import load_dataset
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("me/unireward-demo-generator")
pipeline.load_lora_weights("me/unireward-demo-adapter")
rows = load_dataset("me/unireward-demo-pairs", split="train")
print(json.dumps([sorted(pipeline.get_active_adapters()), len(rows)]))
"""


def test_what_a_demonstration_made_is_published_and_loads_by_name(proof, tmp_path) -> None:
    folder, (result,) = proof
    alignment = align_generator(folder, plan=TINY)
    with HubServer(USERS) as server:
        addresses = printed(PUBLISH, server, tmp_path, str(alignment.pairs), str(alignment.adapter))
        assert [address.rpartition("-")[2] for address in addresses] == ["generator", "pairs", "adapter"]
        assert printed(LOAD, server, tmp_path) == [["default_0"], result.runs[0].pairs]


def test_every_control_is_a_training_of_its_own(tmp_path) -> None:
    from diffusers_ext.dpo_config import DPOConfig

    configs = [
        DPOConfig(pipeline="shapes", pairs="pairs", output="out", **{**Plan().settings, **arm.settings})
        for arm in (PLAIN, *CONTROLS)
    ]
    ways = {(arm.labels, json.dumps(config.as_dict())) for arm, config in zip((PLAIN, *CONTROLS), configs, strict=True)}
    assert len(ways) == len({arm.slug for arm in (PLAIN, *CONTROLS)}) == 1 + len(CONTROLS)


def test_the_table_has_the_mean_and_the_deviation_of_all_seeds() -> None:
    runs = (Run("Diffusion-DPO", 0, 10, 0.5, 0.7, 1.0), Run("Diffusion-DPO", 1, 20, 0.4, 0.5, 1.0))
    result = Result(PLAIN, runs)
    assert result.gain == pytest.approx(15)
    assert result.spread == pytest.approx(7.0711, abs=1e-4)
    assert "| Diffusion-DPO | judge | 15 | 45.0% | 60.0% | +15.0 ± 7.1 | +20.0, +10.0 |" in table([result])
    assert table([result]).splitlines()[0].count("|") == len(columns()) + 1
    assert "the mean of 2 seeds" in page([result])
    assert "standard deviation" in page([result])


def test_a_single_seed_has_no_deviation() -> None:
    result = Result(PLAIN, (Run("Diffusion-DPO", 0, 10, 0.5, 0.7, 1.0),))
    assert result.spread is None
    assert "| +20.0 | +20.0 |" in table([result])
    assert "±" not in page([result])
    assert "deviation" not in page([result])
    assert "of one seed" in page([result])


def test_the_picture_says_that_its_shares_count_one_sample_of_each_prompt() -> None:
    prompts = ("a green circle",) * 8
    exam = Exam(prompts, (Grades(5, 5, 5),) * 3 + (NOTHING,) * 5, (Image.new("RGB", (64, 64)),) * 8)
    assert heading("before", exam) == "before: 37.5% right of the first samples of 8 prompts"
    assert before_and_after(exam, exam).getpixel((0, 0)) == (255, 255, 255)
    assert "count the first sample of each prompt alone" in page([Result(PLAIN, (Run("x", 0, 1, 0.5, 0.5, 1.0),))])


def test_the_picture_shows_a_clip_from_its_first_frame_down_to_its_last() -> None:
    (clip,) = drawn(CLIP_PROMPTS[:1])
    film = strip(clip)
    assert film.size == (SIDE, 4 * SIDE + 3 * GAP)
    for place, frame in enumerate((0, 2, 5, 7)):
        top = place * (SIDE + GAP)
        part = film.crop((0, top, SIDE, top + SIDE))
        assert part.resize((64, 64), Image.Resampling.NEAREST).tobytes() == clip[frame].tobytes()
    exam = Exam(tuple(CLIP_PROMPTS[:1]) * 8, (NOTHING,) * 8, (clip,) * 8)
    assert heading("after", exam).endswith("of 8 prompts; each clip from its first frame down to its last")
    assert before_and_after(exam, exam).height > 8 * SIDE


def test_the_command_aligns_what_is_asked_for_and_shows_the_table(proof, monkeypatch) -> None:
    folder, results = proof
    plans = []
    monkeypatch.setattr(prove_module, "prove", lambda *_, plan, **__: plans.append(plan) or results)
    for options in ([], ["--clips"]):
        done = CliRunner().invoke(command, [str(folder), "--seeds", "1", *options])
        assert done.exit_code == 0, done.output
        assert "Diffusion-DPO\tjudge" in done.stdout
    done = CliRunner().invoke(command, [str(folder), "--json"])
    assert json.loads(done.stdout)["table"][0][0] == "Diffusion-DPO"
    assert plans == [None, CLIPS, None]
