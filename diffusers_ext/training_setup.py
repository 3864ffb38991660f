"""The parts that a preference training is put together from, made as its configuration says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffusers_ext import checkpoints, training_pipeline
from diffusers_ext.dpo_config import DPOConfig
from diffusers_ext.families.adapter import Adapter
from diffusers_ext.latents import Cache, Size, aspect_of, bucket_of, fill_cache, plan_cache, size_of
from diffusers_ext.noise import Diffusion, sdxl_turbo
from diffusers_ext.preferences import Preferences
from diffusers_ext.stabilisers import gap_weights
from diffusers_ext.training_sharded import check_launch, prepare_fsdp
from unireward_plugins.backends.fingerprint import folder_hash
from unireward_plugins.errors import MissingExtra, UniRewardError, needs_extra

FREE = frozenset(
    {"pairs", "output", "split", "cache", "checkpoint_every", "trackers", "evaluate_every", "judge", "compile"}
    | {"gradient_checkpointing", "accumulation"}
)
"""Settings that a run may be continued with others of: they do not change its course. Of accumulation and processes the
product counts, and of the pairs their content; the batch size decides which pairs come together, and when. Whether the
judge is the one of the evaluations before is looked at where there are any (`ValidationRewards.resume`)."""
TAKING_PART = ("unet", "transformer", "vae", "text_encoder")
"""How the names of the components begin whose weights decide a run's course."""

LOOKED_AT = 16
"""How many pairs at most, spread evenly over all, have their size looked at before a training."""
ENLARGED = 1.1
"""Pairs of an uncommon aspect are scaled up by up to this to fill their bucket; that is no cause for a warning."""


def accelerator_for(config: DPOConfig) -> Any:
    """Accelerate's accelerator; `UniRewardError` where it would train otherwise than asked or could not sample.

    `MissingExtra` where the package of a tracker is not installed, which accelerate would leave out without a word.
    """
    with needs_extra("training", "diffusers"):
        from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
        from accelerate.tracking import get_available_trackers
    there = {"all", *map(str, get_available_trackers())}
    if missing := [name for name in config.trackers if name not in there]:
        listed = " ".join(missing)
        raise MissingExtra(f"trackers need packages that are not installed. Install them with: pip install {listed}")
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        gradient_accumulation_steps=config.accumulation,
        log_with=list(config.trackers) or None,
        project_dir=config.output,
        # Blocks at the end of a transformer leave parts of themselves unused, and caching may take hours.
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=True),
            InitProcessGroupKwargs(timeout=timedelta(days=1)),
        ],
    )
    check_launch(accelerator)
    prepare_fsdp(accelerator)
    if accelerator.state.deepspeed_plugin is not None:
        accelerator.state.deepspeed_plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = config.batch_size
    if config.evaluate_every and accelerator.distributed_type.name in {"FSDP", "DEEPSPEED"}:
        raise UniRewardError(
            "samples cannot be drawn from a denoiser that is cut up by FSDP or DeepSpeed: set evaluate_every: 0, and "
            "sample what is saved"
        )
    return accelerator


def check_same_run(config: DPOConfig, folder: Path, accelerator: Any, *, pairs_a_step: int, pairs: str) -> None:
    """Note in the output folder what decides the course of a run, or make sure that it is what is noted there.

    `folder` is the pipeline's, `pairs` the digest of all pairs, those held out included. Raises `UniRewardError` where
    the run was begun otherwise and has left weights; where it has not, nothing would be gone on with or lost, and this
    is a new run.
    """
    settings = {name: value for name, value in config.as_dict().items() if name not in FREE}
    if config.schedule == "constant":
        settings.pop("steps")
    output = Path(config.output)
    if accelerator.is_main_process:
        checkpoints.clean_up(output)
        if not checkpoints.has_result(output):
            (output / "run.json").unlink(missing_ok=True)
        run = {**settings, "pairs_a_step": pairs_a_step, "pairs_digest": pairs, "weights": weights_hash(folder)}
        checkpoints.check_same_run(output / "run.json", run, options=settings)
    accelerator.wait_for_everyone()


def weights_hash(folder: Path) -> str:
    """A hash of the weights that the pipeline in a folder is trained from; large files are read the first time."""
    parts = [name for name in sorted(training_pipeline.stored_components(folder)) if name.startswith(TAKING_PART)]
    listed = "\n".join(f"{name} {folder_hash(folder / name)}" for name in parts)
    return hashlib.sha256(listed.encode()).hexdigest()


def cautions(config: DPOConfig, preferences: Preferences, *, pairs_a_step: int) -> Iterator[str]:
    """What is worth a warning before a training: settings that can be followed and hardly are what was wanted.

    The configuration is as the user gave it: only a resolution that was named is compared with the pairs.
    """
    if config.resolution is not None:
        yield from _enlarged(preferences, config.resolution)
    if len(preferences) < pairs_a_step:
        yield (
            f"a step takes {pairs_a_step} pairs and there are {len(preferences)}: each comes up "
            f"{pairs_a_step / len(preferences):.1f} times in every step, under another noise each time. Make more "
            f"pairs, or make batch_size x accumulation x processes at most {len(preferences)}"
        )


def _enlarged(preferences: Preferences, resolution: int | Size) -> Iterator[str]:
    """What to say where pixels are scaled up, by a look at some pairs."""
    looked = range(0, len(preferences), -(-len(preferences) // LOOKED_AT))
    scale, (high, wide), bucket = max(
        (max(bucket[0] / size[0], bucket[1] / size[1]), size, bucket)
        for pair in map(preferences.pair, looked)
        for bucket in [bucket_of(aspect_of(pair), resolution)]
        for size in map(size_of, pair)
    )
    if scale > ENLARGED:
        yield (
            f"pairs are smaller than the resolution {resolution}: of {len(looked)} that were looked at, the smallest "
            f"is {wide} x {high} pixels (width x height) and is scaled up to {bucket[1]} x {bucket[0]}, which "
            "adds blur and no detail. Give a resolution no larger than the pairs, or make larger pairs"
        )


def weight_dtype(accelerator: Any) -> torch.dtype:
    """The precision of weights that are not trained."""
    return {"fp16": torch.float16, "bf16": torch.bfloat16}.get(accelerator.mixed_precision, torch.float32)


def adapter_with_cache(
    config: DPOConfig, preferences: Preferences, folder: Path, accelerator: Any, progress: Callable[[int, int], None]
) -> tuple[Adapter, Cache]:
    """The adapter of the pipeline in a folder, with latents and embeddings cached and without VAE and text encoders.

    `progress` is told how many of this process's files are done, of how many.
    """
    assert config.resolution is not None, "the trainer has asked the pipeline"
    plan = plan_cache(
        Path(config.cache) if config.cache else Path(config.output) / "cache",
        preferences,
        folder,
        resolution=config.resolution,
        frames=config.frames,
        flip=config.flip,
        empty=config.caption_dropout > 0,
        dtype=weight_dtype(accelerator),
    )
    is_cached = plan.is_complete
    accelerator.wait_for_everyone()  # nobody fills it before all have looked
    adapter = training_pipeline.load_adapter(
        folder, config.denoiser, weight_dtype(accelerator), whole=not config.lora_rank, encoders=not is_cached
    )
    if config.lora_rank:
        training_pipeline.check_lora(adapter, config.lora_targets)
    if config.noise_levels == "turbo":
        if not isinstance(adapter.process, Diffusion):
            raise UniRewardError("noise_levels: turbo is for SDXL-Turbo; this pipeline is trained with flow matching")
        adapter.process = sdxl_turbo(adapter.process)
    if not is_cached:
        training_pipeline.encoders_to(adapter, accelerator.device)
        fill_cache(
            plan, adapter, process=accelerator.process_index, processes=accelerator.num_processes, progress=progress
        )
    training_pipeline.drop_encoders(adapter)
    accelerator.wait_for_everyone()
    return adapter, Cache(plan)


def optimizer_for(config: DPOConfig, trained: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimiser of the weights that are trained; `UniRewardError` where its library is not there."""
    rate, decay = config.learning_rate, config.weight_decay
    optimizer: torch.optim.Optimizer
    if config.optimizer == "adamw_8bit":
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError as error:
            raise UniRewardError("optimizer adamw_8bit needs bitsandbytes: pip install bitsandbytes") from error
        optimizer = AdamW8bit(trained, lr=rate, weight_decay=decay)
    elif config.optimizer == "adafactor":
        from transformers import Adafactor

        optimizer = Adafactor(trained, lr=rate, weight_decay=decay, scale_parameter=False, relative_step=False)
    else:
        optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=decay)
    return optimizer


def average_for(config: DPOConfig, trained: Sequence[nn.Parameter]) -> Any:
    """The moving average of the weights that are trained, `None` where there is none."""
    if not config.ema_decay:
        return None
    from diffusers_ext.training_average import Average

    return Average(trained, decay=config.ema_decay)


def pair_weights(preferences: Preferences, config: DPOConfig) -> Tensor:
    """How much each pair counts."""
    if not config.rare_gaps:
        return torch.ones(len(preferences))
    if preferences.gaps is None:
        raise UniRewardError("rare_gaps needs the columns chosen_score and rejected_score, with a number in every row")
    return gap_weights(torch.tensor(preferences.gaps))
