"""The tiny generator of the shapes world: what it learns from, its recipe in miniature, and the one that is shipped."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("diffusers")
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from unireward_plugins.errors import UniRewardError
from unireward_plugins.shapes import train_generator
from unireward_plugins.shapes.captions import grades
from unireward_plugins.shapes.check import parse_caption
from unireward_plugins.shapes.generator_card import measure
from unireward_plugins.shapes.generator_codec import centre_latents
from unireward_plugins.shapes.generator_data import CALL, draw_careless, draw_crowded, generator_captions
from unireward_plugins.shapes.generator_model import TOKENS, build_codec, build_tokenizer, pixel_values
from unireward_plugins.shapes.generator_plan import Plan
from unireward_plugins.shapes.render import render
from unireward_plugins.shapes.train_generator import Training, train

SHIPPED = Path(train_generator.__file__).parent / "generator"
TINY = Plan(
    codec_steps=3,
    codec_batch=2,
    reading_steps=2,
    reading_batch=4,
    painting_steps=4,
    painting_batch=4,
    pictures=12,
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(train_generator, "CROWDED", 8)
    monkeypatch.setattr(
        train_generator, "write_card", lambda folder, *, seed: f"{folder} {seed}"
    )  # measures 1,800 samples


@pytest.fixture(scope="module")
def whole_run():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_generator, "CROWDED", 8)
        training = Training(TINY)
        return training, list(training.run())


@pytest.fixture(scope="module")
def shipped():
    pipeline = DiffusionPipeline.from_pretrained(SHIPPED)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_captions_are_distinct_texts_of_the_world_and_never_of_what_is_held_out() -> None:
    captions = generator_captions()
    assert len(set(map(str, captions))) == len(captions) == 27 * 15
    assert all(parse_caption(str(caption)) == caption and not caption.held_out for caption in captions)


def test_about_two_fifths_of_the_training_pictures_are_not_what_their_captions_say() -> None:
    captions, scenes = draw_careless(2000, seed=0)
    right = np.mean([grades(caption, scene).alignment == 5 for caption, scene in zip(captions, scenes, strict=True)])
    assert 0.55 < right < 0.65
    assert not any(scene.held_out or scene.flaws or scene.ground != "dark" for scene in scenes)
    clean = draw_careless(200, seed=0, slipped=0)
    assert all(grades(caption, scene).alignment == 5 for caption, scene in zip(*clean, strict=True))


def test_the_codec_sees_crowded_pictures_with_every_number_of_shapes() -> None:
    counts = Counter(len(scene.shapes) for scene in draw_crowded(500, seed=0))
    assert set(counts) >= {1, 2, 3, 4}
    assert counts[4] > counts[1]


def test_every_word_of_a_caption_is_one_token_and_survives_saving(tmp_path) -> None:
    tokenizer = build_tokenizer(map(str, generator_captions()))
    tokenizer.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    for caption in map(str, generator_captions()):
        ids = loaded(caption, padding="max_length")["input_ids"]
        assert len(ids) == TOKENS
        assert [loaded.decode([token]).strip() for token in ids[1 : 1 + len(caption.split())]] == caption.split()


def test_the_tokens_are_numbered_alike_every_time() -> None:
    captions = list(map(str, generator_captions()))
    vocabularies = [build_tokenizer(captions).get_vocab() for _ in range(4)]
    assert vocabularies[1:] == vocabularies[:-1]
    assert sorted(vocabularies[0].values()) == list(range(len(vocabularies[0])))


def test_centred_latents_have_mean_0_and_deviation_1_and_decode_to_the_same() -> None:
    torch.manual_seed(0)
    codec = build_codec().eval()
    pictures = pixel_values(render(draw_crowded(8, seed=0), seed=0))
    with torch.no_grad():
        before = codec(pictures).sample
        centre_latents(codec, pictures)
        latents = codec.encode(pictures).latent_dist
        assert torch.allclose(codec.decode(latents.mode()).sample, before, atol=1e-4)
    assert torch.allclose(latents.mean.mean((0, 2, 3)), torch.zeros(1), atol=1e-4)
    assert torch.allclose(latents.mean.std((0, 2, 3)), torch.ones(1), atol=1e-3)
    assert latents.std.std((0, 2, 3)).max() < 1e-6  # the noise that it bears is the same everywhere


def test_the_loss_falls_in_every_part_and_the_average_follows() -> None:
    plan = Plan(
        codec_steps=25,
        codec_batch=4,
        reading_steps=25,
        painting_steps=25,
        painting_batch=16,
        pictures=16,
    )
    training = Training(plan)
    start = [weight.clone() for weight in training.averages]
    losses = list(training.run())
    for first in (0, 25, 50):
        assert np.mean(losses[first + 20 : first + 25]) < np.mean(losses[first : first + 5])
    assert any(not torch.equal(one, other) for one, other in zip(start, training.averages, strict=True))


@pytest.mark.parametrize("stop", [2, 3, 5, 7])
def test_a_stopped_run_goes_on_to_the_same_end(tmp_path, whole_run, stop) -> None:
    whole, expected = whole_run
    first = Training(TINY)
    running = first.run()
    found = [next(running) for _ in range(stop)]
    first.save(tmp_path / "unfinished.pt")
    second = Training(TINY)
    second.resume(tmp_path / "unfinished.pt")
    # In bfloat16 sums depend on where in memory the numbers lie.
    assert found + list(second.run()) == pytest.approx(expected, rel=1e-2)
    for ours, theirs in zip(second.averages, whole.averages, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-3)


def test_the_text_encoder_learns_what_captions_ask_for() -> None:
    training = Training(Plan(codec_steps=0, reading_steps=60, reading_batch=32))
    losses = [training._learn(training.optimizers[1], training.reading_loss) for _ in range(60)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_another_plan_is_not_gone_on_with(tmp_path) -> None:
    Training(TINY).save(tmp_path / "unfinished.pt")
    with pytest.raises(UniRewardError, match="belongs to a training with other settings"):
        train(tmp_path, replace(TINY, seed=1))


def test_training_leaves_a_pipeline_that_loads_and_draws_and_is_not_written_over(tmp_path) -> None:
    said: list[str] = []
    train(tmp_path, TINY, tell=said.append)
    assert "MB in" in said[-1]
    assert not (tmp_path / "unfinished.pt").exists()
    pipeline = DiffusionPipeline.from_pretrained(tmp_path)
    assert pipeline("a green circle", num_inference_steps=1).images[0].size == (64, 64)
    with pytest.raises(UniRewardError, match="holds a generator already"):
        train(tmp_path, TINY)


def test_a_training_that_was_stopped_while_it_was_measured_goes_on(tmp_path, monkeypatch) -> None:
    def stopped(folder, *, seed):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train_generator, "write_card", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, TINY, tell=lambda _line: None)
    assert (tmp_path / "model_index.json").exists()
    said: list[str] = []
    train(tmp_path, TINY, tell=said.append)
    assert not (tmp_path / "unfinished.pt").exists()
    assert f"going on after step {TINY.steps:,}" in said[0]


def test_the_learning_rate_begins_anew_with_every_part_and_falls_in_the_end() -> None:
    plan = Plan(codec_steps=100, reading_steps=100, painting_steps=1000)
    rates = [plan.rate_at(step) for step in range(plan.steps)]
    assert rates[0] < rates[49] == max(rates) > rates[99]
    assert rates[100] == plan.reading_rate > rates[199]
    assert rates[200] < rates[300] == rates[799] == plan.painting_rate > rates[1000] > rates[-1] > 0


def test_the_shipped_generator_is_a_small_stable_diffusion_of_the_real_classes(shipped) -> None:
    assert type(shipped) is StableDiffusionPipeline
    parts = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    assert all(type(shipped.components[name]) is kind for name, kind in parts.items())
    size = sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file())
    assert size < 10e6


def test_the_shipped_generator_leaves_something_to_learn(shipped) -> None:
    captions = generator_captions()[::2]
    right, nothing = measure(shipped, captions, guidance=CALL["guidance_scale"])
    assert 0.3 < right.value < 0.6
    assert nothing.value < 0.45


def test_the_shipped_codec_keeps_what_pictures_show(shipped) -> None:
    captions, scenes = draw_careless(60, seed="codec", slipped=0)
    pictures = render(scenes, seed=5)
    with torch.no_grad():
        back = shipped.vae(pixel_values(pictures)).sample
    painted = ((back.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    from unireward_plugins.shapes.truth import read_scenes

    shown = read_scenes(np.ascontiguousarray(painted))
    right = [
        scene is not None and grades(caption, scene).alignment == 5
        for caption, scene in zip(captions, shown, strict=True)
    ]
    assert np.mean(right) > 0.95
