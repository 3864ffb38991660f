"""Every family of generators on a tiny pipeline of its real classes, saved and loaded again."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor, nn

from diffusers_ext.families import adapter_for
from diffusers_ext.families.adapter import Adapter, Conditions
from diffusers_ext.losses import diffusion_dpo
from diffusers_ext.noise import Flow
from diffusers_ext.pair_errors import Errors, pair_errors
from tests.diffusers_ext.tiny_pipelines import PLAIN_TEMPLATE, TINY, ltx_pipeline, picture_pipeline, sdxl_pipeline
from unireward_plugins import hookspecs, plugins
from unireward_plugins.errors import UniRewardError

PROMPT = "a red cat"
STEPS = 3

# numpy's, of a scheduler of diffusers
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
each_family = pytest.mark.parametrize("name", TINY)
each_with_lora = pytest.mark.parametrize(
    ("name", "denoiser"),
    [*((name, None) for name in TINY if name != "text-to-video-sd"), ("wan-2.2", "transformer_2")],
)

Load = Callable[[str], Any]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Makes the tiny pipeline of a family, saved once and loaded anew each time."""
    folders: dict[str, Path] = {}

    def fresh(name: str) -> Any:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            TINY[name].build().save_pretrained(folders[name])
        return loaded(name, folders[name])

    return fresh


def loaded(name: str, folder: Path) -> Any:
    """A pipeline as a user loads it."""
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, **TINY[name].load)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def adapted(name: str, pipeline: Any, denoiser: str | None = None) -> Adapter:
    """Its adapter."""
    adapter = adapter_for(pipeline, denoiser)
    if name == "hunyuan-video":
        adapter.prompt_template = PLAIN_TEMPLATE
    return adapter


def pixels_of(name: str, batch: int = 1, *, side: int | None = None) -> Tensor:
    """Noise, in the shape of the family's pictures or clips."""
    tiny = TINY[name]
    side = side or tiny.side
    shape = (batch, *([tiny.frames] if tiny.frames else []), 3, side, side)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def sampled(name: str, pipeline: Any, **call: Any) -> Tensor:
    """What the pipeline itself makes of the prompt without guidance, in 0..1."""
    tiny = TINY[name]
    if tiny.frames:
        call["num_frames"] = tiny.frames
    generator = torch.Generator().manual_seed(0)
    size = {"height": tiny.side, "width": tiny.side}
    return pipeline(
        prompt=PROMPT, num_inference_steps=STEPS, generator=generator, output_type="pt", **size, **tiny.call, **call
    )[0]


def predicted(adapter: Adapter, name: str) -> Tensor:
    """The denoiser's prediction for two noisy latents of two prompts at two levels."""
    latents = adapter.latents(pixels_of(name, batch=2))
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(2)).to(latents)
    level = adapter.levels(torch.tensor([0.3, 0.8]), latents)
    with torch.no_grad():
        return adapter.predict(
            adapter.process.corrupt(latents, noise, level), level, adapter.conditions([PROMPT, "two blue birds"])
        )


@each_family
def test_latents_come_back_as_pixels_and_their_normalisation_inverts(name: str, load: Load) -> None:
    adapter = adapted(name, load(name))
    pixels = pixels_of(name, batch=2)
    latents = adapter.latents(pixels)
    assert adapter.pixels(latents).shape == pixels.shape
    assert latents.dim() == 4 + adapter.is_video
    assert len(latents) == 2
    torch.testing.assert_close(adapter.normalise(adapter.denormalise(latents)), latents, atol=1e-5, rtol=1e-5)
    # Rows do not know of each other, and the mode is not a sample.
    torch.testing.assert_close(adapter.latents(pixels[1:]), latents[1:], atol=1e-5, rtol=1e-4)
    drawn = [adapter.latents(pixels, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    torch.testing.assert_close(drawn[0], drawn[1])
    if name != "sana":  # whose encoder is deterministic
        assert not torch.allclose(drawn[0], drawn[2])
        assert not torch.allclose(drawn[0], latents)


@each_family
def test_conditions_of_several_prompts_are_those_of_each_alone(name: str, load: Load) -> None:
    adapter = adapted(name, load(name))
    prompts = [PROMPT, "", "a blue dog and a small green bird on a long wall"]
    together = adapter.conditions(prompts)
    for row, prompt in enumerate(prompts):
        alone = adapter.conditions([prompt])
        assert alone.keys() == together.keys()
        for key, value in alone.items():
            torch.testing.assert_close(value[0], together[key][row], atol=1e-5, rtol=1e-4)
    assert not any(value.requires_grad for value in together.values())


@each_family
def test_an_odd_number_of_pixel_steps_comes_out_as_whole_tokens(name: str, load: Load) -> None:
    adapter = adapted(name, load(name))
    side = (1 if name == "cogvideox-1.5" else 3) * adapter.pixel_step  # which has places up to one token only
    latents = adapter.latents(pixels_of(name, side=side))
    with torch.no_grad():
        assert adapter.predict(latents, torch.tensor([0.5]), adapter.conditions([PROMPT])).shape == latents.shape
    assert adapter.pixels(latents).shape[-2:] == (side, side)


class Calls:
    """What a denoiser was told, and what it answered."""

    def __init__(self, *denoisers: nn.Module) -> None:
        self.told: list[dict[str, Any]] = []
        self.answers: list[Tensor] = []
        self.hooks = [denoiser.register_forward_hook(self._note, with_kwargs=True) for denoiser in denoisers]

    def _note(self, denoiser: nn.Module, given: tuple[Any, ...], named: dict[str, Any], answer: Any) -> None:
        self.told.append({**{str(place): value for place, value in enumerate(given)}, **named})
        self.answers.append(answer[0])


def denoisers_of(adapter: Adapter) -> list[nn.Module]:
    return [module for name in adapter.denoiser_names if (module := getattr(adapter.pipeline, name, None)) is not None]


@each_family
def test_a_sampler_on_the_adapter_makes_what_the_pipeline_makes(name: str, load: Load) -> None:
    pipeline = load(name)
    adapters = [adapted(name, pipeline)]
    if name == "wan-2.2":
        adapters.append(adapted(name, pipeline, "transformer_2"))
    calls = Calls(*denoisers_of(adapters[0]))
    scheduler: Any = None

    def keep_scheduler(*_: Any) -> None:
        nonlocal scheduler
        scheduler = scheduler or copy.deepcopy(pipeline.scheduler)

    denoisers_of(adapters[0])[0].register_forward_pre_hook(keep_scheduler)
    expected = sampled(name, pipeline)

    shape = adapters[0].latents(pixels_of(name)).shape
    frames_first = name.startswith("cogvideox")
    drawn = (shape[0], shape[2], shape[1], *shape[3:]) if frames_first else shape
    latents = torch.randn(drawn, generator=torch.Generator().manual_seed(0))
    latents = latents.transpose(1, 2) if frames_first else latents
    conditions = adapters[0].conditions([PROMPT])
    with torch.no_grad():
        for time in scheduler.timesteps:
            level = time / 1000 if isinstance(adapters[0].process, Flow) else time
            adapter = adapters[-1] if len(adapters) > 1 and level < 0.875 else adapters[0]
            prediction = adapter.predict(latents, level[None], conditions)
            latents = scheduler.step(prediction, time, latents, return_dict=False)[0]
        made = adapters[0].pixels(latents)
    torch.testing.assert_close((made / 2 + 0.5).clamp(0, 1), expected, atol=2e-4, rtol=1e-3)
    assert len(calls.answers) == 2 * STEPS
    for ours, theirs in zip(calls.answers[STEPS:], calls.answers[:STEPS], strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-3)
    for ours_told, theirs_told in zip(calls.told[STEPS:], calls.told[:STEPS], strict=True):
        assert_told_the_same(ours_told, theirs_told)


def assert_told_the_same(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """All that a pipeline tells its denoiser, beside what is empty, we tell it too; and no more."""
    assert tensors_in(ours).keys() == tensors_in(theirs).keys()
    for key, value in tensors_in(theirs).items():
        torch.testing.assert_close(tensors_in(ours)[key].expand_as(value), value, check_dtype=False, msg=key)


def tensors_in(told: Any, path: str = "") -> dict[str, Tensor]:
    """Every tensor and number that a denoiser was told, by its place."""
    if isinstance(told, Mapping):
        inside = told.items()
    elif isinstance(told, (list, tuple)):
        inside = enumerate(told)
    elif told is None or isinstance(told, bool):
        return {}
    else:
        number = torch.as_tensor(told)
        return {path: number[None] if number.dim() == 0 else number}
    return {name: tensor for key, value in inside for name, tensor in tensors_in(value, f"{path}.{key}").items()}


def with_lora(adapter: Adapter) -> LoraConfig:
    """Put a LoRA on the denoiser that changes what it predicts, with an alpha that is not the rank."""
    config = LoraConfig(r=2, lora_alpha=6, target_modules=list(adapter.lora_targets))
    adapter.denoiser.add_adapter(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for key, weight in adapter.denoiser.named_parameters():
            if "lora_B" in key:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    return config


@each_with_lora
def test_the_lora_that_is_saved_changes_a_fresh_pipeline_in_the_same_way(
    name: str, denoiser: str | None, load: Load, tmp_path: Path
) -> None:
    adapter = adapted(name, load(name), denoiser)
    untrained = sampled(name, adapter.pipeline)
    config = with_lora(adapter)
    trained = sampled(name, adapter.pipeline)
    assert (trained - untrained).abs().max() > 1e-3
    adapter.save_lora(tmp_path, get_peft_model_state_dict(adapter.denoiser), config)

    fresh = load(name)
    fresh.load_lora_weights(tmp_path, **({"load_into_transformer_2": True} if denoiser else {}))
    torch.testing.assert_close(sampled(name, fresh), trained, atol=1e-4, rtol=1e-3)


@each_family
def test_a_full_fine_tune_is_loaded_with_from_pretrained(name: str, load: Load, tmp_path: Path) -> None:
    adapter = adapted(name, load(name))
    before = predicted(adapter, name)
    with torch.no_grad():
        for weight in adapter.denoiser.parameters():
            weight.mul_(1.1)
    tuned = predicted(adapter, name)
    assert not torch.allclose(before, tuned)
    adapter.pipeline.save_pretrained(tmp_path)
    torch.testing.assert_close(predicted(adapted(name, loaded(name, tmp_path)), name), tuned, atol=1e-5, rtol=1e-4)


class Wrapped(nn.Module):
    """A denoiser as distribution over processes wraps it: without its attributes."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *given: Any, **named: Any) -> Any:
        return self.module(*given, **named)


@each_family
def test_rows_of_a_batch_are_predicted_as_each_alone_by_a_wrapped_denoiser(name: str, load: Load) -> None:
    adapter = adapted(name, load(name))
    latents = adapter.latents(pixels_of(name, batch=2))
    level = adapter.levels(torch.tensor([0.2, 0.8]), latents)
    conditions = adapter.conditions([PROMPT, "two blue birds on a very long wall"])
    adapter.denoiser = Wrapped(adapter.denoiser)
    with torch.no_grad():
        together = adapter.predict(latents, level, conditions)
        for row in (0, 1):
            only = slice(row, row + 1)
            alone = adapter.predict(latents[only], level[only], {key: value[only] for key, value in conditions.items()})
            torch.testing.assert_close(together[only], alone, atol=1e-4, rtol=1e-3)
    assert together.shape == latents.shape
    assert not torch.allclose(together[0], together[1])


@each_family
def test_half_precision_predicts_about_the_same(name: str, load: Load) -> None:
    exact = predicted(adapted(name, load(name)), name)
    pipeline = load(name).to(torch.bfloat16)
    rough = predicted(adapted(name, pipeline), name)
    assert rough.dtype == torch.bfloat16
    assert (rough - exact).square().mean() < 0.01 * exact.square().mean()


class Pairs:
    """One pair of noise pictures or clips, its noise and its level, and a model to be aligned with it."""

    def __init__(self, name: str, pipeline: Any) -> None:
        self.adapter = adapted(name, pipeline)
        self.reference = None
        if self.adapter.lora_targets:
            targets = list(self.adapter.lora_targets)
            self.adapter.denoiser.requires_grad_(False).add_adapter(LoraConfig(r=2, target_modules=targets))
        else:
            self.reference = copy.deepcopy(self.adapter.denoiser)
        latents = self.adapter.latents(pixels_of(name, batch=2))
        noise = torch.randn(latents[:1].shape, generator=torch.Generator().manual_seed(4)).expand_as(latents)
        self.level = self.adapter.levels(torch.tensor([0.5]), latents).expand(2)
        self.noisy = self.adapter.process.corrupt(latents, noise, self.level)
        self.target = self.adapter.process.target(latents, noise, self.level)
        conditions = self.adapter.conditions([PROMPT])
        self.conditions = {key: value.repeat_interleave(2, 0) for key, value in conditions.items()}

    def errors(self) -> Errors:
        with torch.no_grad(), self._reference_in_place():
            reference = self._predicted()
        return pair_errors(self._predicted(), self.target, reference)

    def _predicted(self) -> Tensor:
        return self.adapter.predict(self.noisy, self.level, self.conditions)

    @contextmanager
    def _reference_in_place(self) -> Iterator[None]:
        model = self.adapter.denoiser
        if self.reference is None:
            model.disable_adapters()
            yield
            model.enable_adapters()
        else:
            self.adapter.denoiser = self.reference
            yield
            self.adapter.denoiser = model


@each_family
def test_dpo_starts_at_ln_2_and_a_step_raises_the_margin(name: str, load: Load) -> None:
    pairs = Pairs(name, load(name))
    loss = diffusion_dpo(pairs.errors(), 5000.0)
    assert loss.tolist() == [torch.tensor(math.log(2)).item()]
    loss.mean().backward()
    trained = [weight for weight in pairs.adapter.denoiser.parameters() if weight.requires_grad]
    torch.optim.AdamW(trained, lr=1e-4).step()
    after = pairs.errors()
    winner, loser = after.over_reference
    assert (loser - winner).item() > 0
    assert diffusion_dpo(after, 5000.0).item() < math.log(2)


def test_an_adapter_is_found_by_the_class_that_a_pipeline_derives_from() -> None:
    class Mine(diffusers.StableDiffusionPipeline):
        pass

    pipeline = picture_pipeline()
    pipeline.__class__ = Mine
    assert type(adapter_for(pipeline)).__name__ == "StableDiffusion"


def test_every_family_of_ours_has_a_tiny_pipeline() -> None:
    ours = {name for name, one in plugins.diffusion_families().items() if one.plugin == "unireward-plugins"}
    assert ours <= TINY.keys()
    for name in ours:
        (pipeline,) = plugins.diffusion_families()[name].thing.pipelines
        assert hasattr(diffusers, pipeline)


def test_a_pipeline_that_nobody_adapts_is_named_with_the_families_that_there_are() -> None:
    class StrangePipeline:
        pass

    with pytest.raises(UniRewardError, match=r"no family adapts StrangePipeline.*sdxl \(StableDiffusionXLPipeline\)"):
        adapter_for(StrangePipeline())


def test_a_denoiser_that_is_not_there_is_named(load: Load) -> None:
    with pytest.raises(UniRewardError, match=r"WanPipeline has no 'transformer_2' to train; it has transformer$"):
        adapter_for(load("wan"), "transformer_2")


class Other:
    """Plug-ins, as pluggy takes objects with hooks."""

    def __init__(self, *pipelines: str) -> None:
        self.card = hookspecs.DiffusionFamilyCard("other", f"{__name__}:OtherAdapter", pipelines, "another family")

    @hookspecs.hookimpl
    def unireward_diffusion_families(self) -> list[hookspecs.DiffusionFamilyCard]:
        return [self.card]


class OtherAdapter(Adapter):
    denoiser_names = ("unet",)

    def conditions(self, prompts: Any) -> Conditions:
        return {}

    def predict(self, noisy: Tensor, level: Tensor, conditions: Conditions) -> Tensor:
        return noisy


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Registers a third party's family for the pipelines of these names."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules[OtherAdapter.__module__])
    there: list[Other] = []

    def bring(*pipelines: str) -> None:
        there.append(Other(*pipelines))
        plugins.plugin_manager().register(there[-1], name="unireward-other")

    yield bring
    for one in there:
        plugins.plugin_manager().unregister(one)


def test_a_third_party_adds_a_family_through_a_hook(brought: Callable[..., None]) -> None:
    class OtherPipeline(diffusers.StableDiffusionPipeline):
        pass

    pipeline = picture_pipeline()
    pipeline.__class__ = OtherPipeline
    brought("OtherPipeline")
    assert type(adapter_for(pipeline)) is OtherAdapter


def test_two_families_for_one_pipeline_name_both_plug_ins(brought: Callable[..., None]) -> None:
    brought("StableDiffusionPipeline")
    with pytest.raises(UniRewardError, match=r"'stable-diffusion' of plug-in 'unireward-plugins'.*'unireward-other'"):
        adapter_for(picture_pipeline())


def test_only_the_module_of_the_family_is_imported() -> None:
    code = """
import sys
from diffusers_ext.families import family_of
class FluxPipeline: pass
print(family_of(FluxPipeline()).load)
print([name for name in sys.modules if name.startswith(("diffusers_ext.families.", "diffusers."))])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["diffusers_ext.families.flux:Flux", "['diffusers_ext.families.adapter']"]


def test_the_experts_of_wan_are_trained_at_the_levels_that_they_are_asked_at(load: Load) -> None:
    pipeline = load("wan-2.2")
    uniform = torch.linspace(0, 0.999, 1000)
    high, low = adapter_for(pipeline), adapter_for(pipeline, "transformer_2")
    assert high.denoiser is pipeline.transformer
    assert low.denoiser is pipeline.transformer_2
    assert high.process.levels(uniform).min() >= 0.875
    assert low.process.levels(uniform).max() <= 0.875
    assert adapter_for(load("wan")).process == Flow(shift=7.0)


def test_the_levels_of_flux_are_uniform_whatever_the_sampler_shifts_by(load: Load) -> None:
    uniform = torch.tensor([0.1, 0.5, 0.9])
    torch.testing.assert_close(adapter_for(load("flux")).levels(uniform, torch.zeros(3, 4, 16, 16)), uniform)


def test_the_levels_of_ltx_follow_the_size_as_its_sampler_does() -> None:
    adapter = adapter_for(ltx_pipeline())
    for frames, height, width, mean in ((4, 16, 16, 0.95), (4, 32, 32, 2.05), (1, 16, 32, 0.95 - 512 * 1.1 / 3072)):
        level = adapter.levels(torch.tensor([0.5]), torch.zeros(1, 8, frames, height, width))
        assert level.item() == pytest.approx(1 / (1 + math.exp(-mean)), rel=1e-5)


def test_sdxl_is_told_zeros_for_the_empty_prompt_as_its_pipeline_tells_it() -> None:
    pipeline = sdxl_pipeline()
    conditions = adapter_for(pipeline).conditions(["", PROMPT])
    for value in conditions.values():
        assert not value[0].any()
        assert value[1].any()
    pipeline.register_to_config(force_zeros_for_empty_prompt=False)
    assert all(value[0].any() for value in adapter_for(pipeline).conditions([""]).values())


def test_cogvideox_1_5_names_the_lengths_that_it_takes(load: Load) -> None:
    with pytest.raises(UniRewardError, match=r"clips of 1, 9, 17, ... frames, got 13"):
        adapter_for(load("cogvideox-1.5")).latents(torch.zeros(1, 13, 3, 16, 16))


def test_cogvideox_1_5_names_the_largest_size_that_it_takes(load: Load) -> None:
    with pytest.raises(
        UniRewardError, match=r"at most 16 x 16 pixels \(height x width\), got 32 x 16: .* resolution: \[16, 16\]$"
    ):
        adapter_for(load("cogvideox-1.5")).latents(torch.zeros(1, 17, 3, 32, 16))


def test_unet3d_takes_no_lora_and_says_so(load: Load, tmp_path: Path) -> None:
    adapter = adapter_for(load("text-to-video-sd"))
    assert not hasattr(adapter.denoiser, "add_adapter")  # where it has one, give the family its targets back
    with pytest.raises(UniRewardError, match="loads no LoRA"):
        adapter.save_lora(tmp_path, {})


def test_gradients_flow_back_through_the_pixels(load: Load) -> None:
    adapter = adapted("wan", load("wan"))
    latents = adapter.latents(pixels_of("wan")).requires_grad_()
    adapter.pixels(latents).sum().backward()
    assert latents.grad is not None
    assert latents.grad.any()
