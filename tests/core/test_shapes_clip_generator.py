"""The tiny clip generator: what it learns from, its recipe in miniature, and the one that is shipped."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import cast

import numpy as np
import pytest

pytest.importorskip("diffusers")
import torch
from diffusers import AnimateDiffPipeline, DiffusionPipeline, UNetMotionModel
from torch.nn.functional import mse_loss

from unireward_plugins.shapes import train_generator
from unireward_plugins.shapes.captions import grades
from unireward_plugins.shapes.check import parse_caption
from unireward_plugins.shapes.data import fulfil
from unireward_plugins.shapes.generator_card import measure
from unireward_plugins.shapes.generator_data import CLIP_CALL, clip_captions, draw_careless_clips
from unireward_plugins.shapes.generator_model import add_motion, pixel_values
from unireward_plugins.shapes.generator_plan import ROUGH
from unireward_plugins.shapes.render import FRAMES, render_clips
from unireward_plugins.shapes.scene import Clip
from unireward_plugins.shapes.train_clip_generator import PICTURES, PLAN, ClipTraining
from unireward_plugins.shapes.train_generator import train

OPPOSITE = {"appears": "vanishes", "vanishes": "appears", "moves left": "moves right", "moves right": "moves left"}
SHIPPED = PICTURES.parent / "clip_generator"
TINY = replace(
    PLAN, reading_steps=2, reading_batch=4, painting_steps=4, cycles=2, rough_steps=1, painting_batch=2, pictures=3
)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """As all tests: two threads wait for one another where a core is busy with something else."""
    monkeypatch.setattr(ClipTraining, "threads", 1)


@pytest.fixture(scope="module")
def pictures():
    return DiffusionPipeline.from_pretrained(PICTURES)


@pytest.fixture(scope="module")
def shipped():
    pipeline = DiffusionPipeline.from_pretrained(SHIPPED)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_captions_are_distinct_texts_of_the_world_and_never_of_what_is_held_out() -> None:
    captions = clip_captions()
    assert len(set(map(str, captions))) == len(captions) == 1034
    assert all(parse_caption(str(caption)) == caption and not caption.held_out for caption in captions)


def test_some_of_the_training_clips_are_not_what_their_captions_say() -> None:
    captions, clips = draw_careless_clips(2000, seed=0)
    right = np.mean([grades(caption, clip).alignment == 5 for caption, clip in zip(captions, clips, strict=True)])
    assert 0.7 < right < 0.8
    assert not any(clip.held_out or clip.flaws or clip.ground != "dark" for clip in clips)
    clean = draw_careless_clips(200, seed=0, slipped=0)
    assert all(grades(caption, clip).alignment == 5 for caption, clip in zip(*clean, strict=True))


def test_motion_modules_change_nothing_at_first(pictures) -> None:
    torch.manual_seed(0)
    clips = torch.randn(2, 12, 3, 8, 8)
    told, level = torch.randn(2, 16, 96), torch.tensor([10, 900])
    moving = add_motion(pictures.unet)
    with torch.no_grad():
        found = moving(clips, level, encoder_hidden_states=told.repeat_interleave(3, 0)).sample
        frames = [pictures.unet(clips[:, :, frame], level, encoder_hidden_states=told).sample for frame in range(3)]
    assert torch.allclose(found, torch.stack(frames, 2), atol=1e-4)


def test_a_word_that_both_know_starts_as_the_same(pictures) -> None:
    training = ClipTraining(TINY)
    mine, theirs = (
        encoder.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("purple</w>")]
        for encoder, tokenizer in (
            (training.modules["text_encoder"], training.tokenizer),
            (pictures.text_encoder, pictures.tokenizer),
        )
    )
    assert torch.equal(mine, theirs)
    name = "encoder.layers.1.mlp.fc1.weight"
    ours, known = (
        {key.removeprefix("text_model."): weight for key, weight in encoder.state_dict().items()}
        for encoder in (training.modules["text_encoder"], pictures.text_encoder)
    )
    assert torch.equal(ours[name], known[name])


def test_in_some_steps_only_the_caption_tells_what_is_to_come() -> None:
    training = ClipTraining(TINY)
    assert training.noise.alphas_cumprod[-1] == 0  # of nothing, nothing can be told
    steps = range(TINY.painting_starts, TINY.steps)
    assert [TINY.lowest_level(step) for step in steps] == [0, 0, ROUGH, 0]
    training.plan = replace(TINY, painting_batch=16)
    seen = []
    training.predict = lambda noisy, level, told: seen.append(level) or noisy  # type: ignore[method-assign]
    for training.step in steps:
        training.painting_loss(torch.zeros(50, 12, 2, 8, 8), torch.zeros(51, 16, 96))
    assert [bool(level.min() >= ROUGH) for level in seen] == [False, False, True, False]


def test_a_stopped_run_goes_on_to_the_same_end(tmp_path) -> None:
    whole = ClipTraining(TINY)
    expected = list(whole.run())
    first = ClipTraining(TINY)
    running = first.run()
    found = [next(running) for _ in range(3)]
    first.save(tmp_path / "unfinished.pt")
    second = ClipTraining(TINY)
    second.resume(tmp_path / "unfinished.pt")
    # In bfloat16 sums depend on where in memory the numbers lie.
    assert found + list(second.run()) == pytest.approx(expected, rel=1e-2)
    for ours, theirs in zip(second.averages, whole.averages, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-3)


def test_training_leaves_a_pipeline_that_loads_and_draws(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(train_generator, "write_card", lambda folder, *, seed: f"{folder} {seed}")  # draws 384 clips
    train(tmp_path, TINY, kind=ClipTraining, tell=lambda _line: None)
    pipeline = DiffusionPipeline.from_pretrained(tmp_path)
    assert type(pipeline) is AnimateDiffPipeline
    frames = pipeline("a green circle that grows", **{**CLIP_CALL, "num_inference_steps": 1}).frames[0]
    assert [frame.size for frame in frames] == [(64, 64)] * FRAMES


def test_the_shipped_generator_is_a_small_animatediff_of_the_real_classes(shipped) -> None:
    assert type(shipped) is AnimateDiffPipeline
    assert type(shipped.unet) is UNetMotionModel
    assert not any("_name_or_path" in file.read_text() for file in SHIPPED.rglob("*.json"))  # where it was made
    assert sum(file.stat().st_size for file in Path(SHIPPED).rglob("*") if file.is_file()) < 10e6


def test_the_shipped_generator_takes_from_the_caption_which_way_things_go(shipped) -> None:
    asked = [caption for caption in clip_captions() if caption.action in OPPOSITE][::20]
    captions, others = asked, [replace(caption, action=OPPOSITE[caption.action]) for caption in asked]
    shown = render_clips([cast("Clip", fulfil(caption, Random("ways"))) for caption in captions], seed=0)
    noise = torch.randn(len(shown), 12, FRAMES, 8, 8, generator=torch.Generator().manual_seed(0))
    level = torch.full((len(shown),), 950)
    with torch.no_grad():
        latents = shipped.vae.encode(pixel_values(shown.reshape(-1, *shown.shape[2:]))).latent_dist.mode()
        clean = latents.unflatten(0, shown.shape[:2]).transpose(1, 2)
        wanted = shipped.scheduler.get_velocity(clean, noise, level)
        right, wrong = (
            mse_loss(
                shipped.unet(
                    shipped.scheduler.add_noise(clean, noise, level),
                    level,
                    encoder_hidden_states=embeds(shipped, texts).repeat_interleave(FRAMES, 0),
                ).sample,
                wanted,
            )
            for texts in (captions, others)
        )
    assert wrong > 1.05 * right


def embeds(pipeline, captions) -> torch.Tensor:
    tokens = pipeline.tokenizer(list(map(str, captions)), padding="max_length", return_tensors="pt")
    return pipeline.text_encoder(tokens["input_ids"])[0]


def test_the_shipped_generator_leaves_something_to_learn(shipped) -> None:
    captions = Random("shipped").choices(clip_captions(), k=32)
    right, _ = measure(shipped, captions, guidance=CLIP_CALL["guidance_scale"])
    assert 0.1 < right.value < 0.7
