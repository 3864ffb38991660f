"""Latents and embeddings on disk: what is kept, under which name, and that nothing is computed twice."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL.Image import Image, fromarray
from safetensors.torch import save_file

from diffusers_ext import latents
from diffusers_ext.families import adapter_for
from diffusers_ext.families.adapter import Adapter
from diffusers_ext.latents import Cache, Plan, bucket_of, check_resolution, fill_cache, pixels_of, plan_cache
from diffusers_ext.preferences import read_preferences
from tests.diffusers_ext.tiny_pipelines import clip_pipeline, flux_pipeline, picture_pipeline
from unireward_plugins.errors import UniRewardError
from unireward_plugins.media import Media
from unireward_plugins.pairs import Pair

# numpy's, of a scheduler of diffusers
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def picture(seed: int, height: int = 96, width: int = 96) -> Image:
    values = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return fromarray(values.repeat(8, 0).repeat(8, 1))


def pairs_of(count: int, **size: int) -> list[Pair]:
    return [
        Pair(f"prompt {n % 3}", Media.of(picture(2 * n, **size)), Media.of(picture(2 * n + 1, **size)), 1.0, 0.0)
        for n in range(count)
    ]


PREFERENCES = read_preferences([*pairs_of(3), *pairs_of(2, height=64, width=128)])


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pipeline")
    picture_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter() -> Adapter:
    return adapter_for(picture_pipeline())


def planned(root: Path, saved: Path, **settings: Any) -> Plan:
    return plan_cache(root, PREFERENCES, saved, **{"resolution": 96, "flip": True, "empty": True, **settings})


def test_what_is_kept_is_what_the_adapter_computes(tmp_path: Path, saved: Path, adapter: Adapter) -> None:
    plan = planned(tmp_path, saved)
    fill_cache(plan, adapter)
    cache = Cache(plan)
    assert cache.shapes == [(4, 48, 48)] * 3 + [(4, 32, 64)] * 2
    for index, size in ((1, (96, 96)), (4, (64, 128))):
        for flip in (False, True):
            pixels = torch.stack([pixels_of(media, size, flip=flip) for media in PREFERENCES.pair(index)])
            torch.testing.assert_close(cache.latents(index, flip=flip), adapter.latents(pixels), atol=1e-5, rtol=1e-4)
    prompts = ["prompt 2", "", "prompt 0", "prompt 2"]
    assert_same(cache.conditions(prompts), adapter.conditions(prompts))


def assert_same(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], atol=1e-5, rtol=1e-4)


def test_a_mirrored_pair_is_mirrored_in_both() -> None:
    media = Media.of(picture(0))
    torch.testing.assert_close(pixels_of(media, (96, 96), flip=True), pixels_of(media, (96, 96)).flip(-1))
    assert pixels_of(media, (96, 96)).min() >= -1
    assert pixels_of(Media.of(fromarray(np.full((4, 4, 3), 255, np.uint8))), (8, 8)).unique().tolist() == [1.0]


def test_pictures_are_cut_at_the_centre() -> None:
    values = np.zeros((32, 96, 3), np.uint8)
    values[:, 32:64] = 255
    assert pixels_of(Media.of(fromarray(values)), (32, 32)).unique().tolist() == [1.0]


def test_clips_give_their_first_frames() -> None:
    clip = Media.of([fromarray(np.full((8, 8, 3), shade, np.uint8)) for shade in (0, 255, 0)])
    assert pixels_of(clip, (8, 8), frames=2).mean((1, 2, 3)).tolist() == [-1.0, 1.0]
    assert pixels_of(clip, (8, 8)).shape == (3, 3, 8, 8)
    with pytest.raises(UniRewardError, match="has 3 frames, and frames=4 were asked for"):
        pixels_of(clip, (8, 8), frames=4)


def test_buckets_are_near_in_aspect_and_never_larger() -> None:
    assert bucket_of(1.0, 512) == (512, 512)
    assert bucket_of(16 / 9, 1024) == (768, 1344)
    assert bucket_of(9 / 16, 1024) == (1344, 768)
    assert bucket_of(10.0, 512) == (320, 768)
    assert bucket_of(1.0, (320, 512)) == (320, 512)
    for aspect in np.geomspace(0.5, 2, 40):
        high, wide = bucket_of(float(aspect), 512)
        assert high % 64 == wide % 64 == 0
        assert high * wide <= 512**2
        assert abs(np.log(wide / high / aspect)) < 0.15
    with pytest.raises(UniRewardError, match="resolution must be a multiple of 8, better of 64, got 100"):
        bucket_of(1.0, 100)


def test_a_run_that_was_cut_off_goes_on_and_several_share_the_work(
    tmp_path: Path, saved: Path, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latents, "PAIRS_A_SHARD", 2)
    plan = planned(tmp_path, saved)
    fill_cache(plan, adapter, process=0, processes=2)
    assert not plan.is_complete
    with pytest.raises(UniRewardError, match="is not complete"):
        Cache(plan)
    done = {path: path.stat().st_mtime_ns for path in plan.folder.iterdir()}
    assert len(done) == 2
    fill_cache(plan, adapter)
    assert plan.is_complete
    assert {path: path.stat().st_mtime_ns for path in done} == done
    whole = planned(tmp_path / "whole", saved)
    fill_cache(whole, adapter)
    for index in range(5):
        assert torch.equal(Cache(plan).latents(index), Cache(whole).latents(index))


def test_drafts_of_a_killed_run_are_gone_once_the_cache_is_whole(tmp_path: Path, saved: Path, adapter: Adapter) -> None:
    plan = planned(tmp_path, saved)
    plan.folder.mkdir(parents=True)
    (plan.folder / "prompts-00000.4711.part").write_bytes(b"half of")
    fill_cache(plan, adapter)
    Cache(plan)
    assert sorted(plan.folder.iterdir()) == sorted(plan.shards)


def test_a_draft_that_another_run_cleared_up_is_not_missed(
    tmp_path: Path, saved: Path, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(tmp_path, saved)

    def save_last(tensors: dict[str, torch.Tensor], draft: Path, **more: Any) -> None:
        """Before this file gets its name another run has written it, too, and cleared up."""
        save_file(tensors, draft, **more)
        draft.rename(draft.with_suffix("").with_suffix(".safetensors"))

    monkeypatch.setattr("safetensors.torch.save_file", save_last)
    fill_cache(plan, adapter)
    assert Cache(plan).shapes[0] == (4, 48, 48)


def test_pixels_must_come_out_as_whole_tokens(tmp_path: Path, saved: Path) -> None:
    flux, wan = adapter_for(flux_pipeline()), adapter_for(clip_pipeline())
    check_resolution((32, 36), flux)
    check_resolution(528, wan)
    for resolution in (520, (480, 840)):
        with pytest.raises(UniRewardError, match=r"resolution must be in steps of 16 pixels for this WanPipeline, got"):
            check_resolution(resolution, wan)
    with pytest.raises(UniRewardError, match=r"in steps of 4 pixels for this FluxPipeline, got \[32, 34\]"):
        fill_cache(planned(tmp_path, saved, resolution=(32, 34)), flux)
    assert not any(tmp_path.iterdir())


def test_the_name_follows_all_that_the_content_depends_on(tmp_path: Path, saved: Path) -> None:
    known = planned(tmp_path, saved).folder
    assert planned(tmp_path, saved).folder == known
    others = [planned(tmp_path, saved, **{name: value}).folder for name, value in (("resolution", 64), ("flip", False))]
    pipeline = picture_pipeline()
    for number, part in enumerate(("vae", "text_encoder", "unet")):
        with torch.no_grad():
            next(getattr(pipeline, part).parameters()).mul_(1.5)
        pipeline.save_pretrained(tmp_path / str(number))
        others.append(planned(tmp_path, tmp_path / str(number)).folder)
    assert others.pop() == others[-1]  # the denoiser has no part in it
    assert len({known, *others}) == 5
    exports = shutil.copytree(saved, tmp_path / "exports")  # as some repositories have them beside the pipeline
    (exports / "vae_decoder").mkdir()
    (exports / "vae_decoder" / "model.onnx").touch()
    (exports / "vae.safetensors").touch()
    assert planned(tmp_path, exports).folder == known


def test_pairs_of_the_wrong_kind_are_named(tmp_path: Path, saved: Path, adapter: Adapter) -> None:
    clips = [Pair("moves", Media.of([picture(0)] * 2), Media.of([picture(1)] * 2), 1.0, 0.0)]
    plan = plan_cache(tmp_path, read_preferences(clips), saved, resolution=96)
    with pytest.raises(UniRewardError, match="pair 0 is no pair of pictures, which StableDiffusion is trained with"):
        fill_cache(plan, adapter)
    assert not any(plan.folder.iterdir())
