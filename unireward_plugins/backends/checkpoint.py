"""Opens a checkpoint with transformers, and refuses one that would run with weights that it did not bring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unireward_plugins.errors import BackendError, needs_extra

if TYPE_CHECKING:
    import torch

ORIGINAL_LLAVA = ("LlavaQwenForCausalLM", "LlavaLlamaForCausalLM", "LlavaMistralForCausalLM")
"""What `config.json` calls a checkpoint in the layout of the original LLaVA code."""

TOO_LONG_WARNING = "sequence-length-is-longer-than-the-specified-maximum"
"""What transformers calls its warning of indexing errors to come; `prompts.read` keeps such a query from the model."""

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
"""Settings of a `generation_config.json` that mean nothing to greedy decoding."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model, ready to answer, with what turns queries into its inputs."""

    name: str
    model: Any
    processor: Any

    @property
    def tokenizer(self) -> Any:
        """The tokenizer inside the processor."""
        return self.processor.tokenizer


def open_checkpoint(
    name: str,
    *,
    revision: str | None = None,
    device: str | None = None,
    dtype: torch.dtype | None = None,
    attention: str = "sdpa",
    trust_remote_code: bool = False,
) -> Checkpoint:
    """Load the model and the processor of a Hub id or folder, set to decode greedily.

    `device` and `dtype` are `default_device()` and `default_dtype(device)` where not given. Raises `BackendError` where
    the checkpoint cannot be loaded, or where not every weight of the model came from it.
    """
    with needs_extra("running a model in this process", "transformers"):
        import accelerate  # noqa: F401  what `device_map` needs
        import torch  # noqa: F401  without it transformers imports, and then has no models
        import transformers
    source = {"revision": revision, "trust_remote_code": trust_remote_code}
    device = device or default_device()
    with load_errors(name):
        config, _ = transformers.PretrainedConfig.get_config_dict(name, **source)
    refuse_original_llava(name, config)
    with load_errors(name):
        model, loading = transformers.AutoModelForImageTextToText.from_pretrained(
            name,
            device_map=device,
            dtype=dtype or default_dtype(device),
            attn_implementation=attention,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are reported with the others, below
            **source,
        )
        processor = transformers.AutoProcessor.from_pretrained(name, **source)
    refuse_incomplete(name, loading)
    refuse_empty_tokenizer(name, processor.tokenizer)
    if processor.chat_template is None:
        raise BackendError(
            f"checkpoint {name!r} has no chat template, so it is not known how it is to be asked. "
            "Copy chat_template.jinja (or chat_template.json) from the model that it was trained from"
        )
    processor.tokenizer.deprecation_warnings[TOO_LONG_WARNING] = True  # as if it had been given
    decode_greedily(model)
    return Checkpoint(name, model.eval(), processor)


@contextmanager
def load_errors(name: str) -> Iterator[None]:
    """Turn what transformers raises inside the block, where a checkpoint cannot be loaded, into a `BackendError`."""
    import transformers
    from safetensors import SafetensorError

    try:
        yield
    except (
        *(OSError, ValueError, KeyError, ImportError),
        SafetensorError,  # a download that broke off
        RuntimeError,  # memory that ran out, or another complaint of the device
        AssertionError,  # a device that this build of torch does not know
    ) as error:
        raise BackendError(
            f"checkpoint {name!r} cannot be loaded as a vision-language model with transformers "
            f"{transformers.__version__}: {error}"
        ) from error


def default_device() -> str:
    """The accelerator that this process uses where there is one, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return f"cuda:{torch.cuda.current_device()}"  # each process of a training run has made its own the current one
    return "mps" if torch.backends.mps.is_available() else "cpu"


def default_dtype(device: str) -> torch.dtype:
    """bfloat16, as the checkpoints were trained; float32 on a CPU, where that is faster and exact."""
    import torch

    return torch.float32 if device == "cpu" else torch.bfloat16


def refuse_original_llava(name: str, config: Mapping[str, Any]) -> None:
    """Raise `BackendError` for a checkpoint of the original LLaVA code, whose layout transformers does not know."""
    architectures = config.get("architectures") or []
    if "mm_vision_tower" in config or any(one in ORIGINAL_LLAVA for one in architectures):
        raise BackendError(
            f"checkpoint {name!r} has the layout of the original LLaVA code ({', '.join(architectures)}), which "
            "transformers cannot load. Serve it with SGLang (`python -m sglang.launch_server --model-path "
            f"{name} --chat-template chatml-llava`) and give the server's URL instead: 'http://HOST:PORT/v1'"
        )


def refuse_incomplete(name: str, loading: Mapping[str, Iterable[Any]]) -> None:
    """Raise `BackendError` unless the weights of the checkpoint are exactly those of the model.

    transformers only warns, and fills what is missing with random numbers: a judge that looks well and guesses.
    """
    kinds = {"missing_keys": "missing", "unexpected_keys": "unexpected", "mismatched_keys": "of another shape"}
    faults = []
    for key, what in kinds.items():
        names = sorted(str(entry if isinstance(entry, str) else entry[0]) for entry in loading[key])
        if names:
            more = ", ..." if len(names) > 3 else ""
            faults.append(f"{len(names)} {what} ({', '.join(names[:3])}{more})")
    faults.extend(str(message) for message in loading["error_msgs"])
    if faults:
        raise BackendError(
            f"the weights of checkpoint {name!r} do not fit its architecture: {'; '.join(faults)}. It would answer "
            "with random weights. Is the download complete, does config.json belong to these weights, and is "
            "transformers recent enough for them?"
        )


def refuse_empty_tokenizer(name: str, tokenizer: Any) -> None:
    """Raise `BackendError` for a tokenizer without a vocabulary, which transformers makes where its file is missing."""
    if "Image 1" not in tokenizer.decode(tokenizer("Image 1")["input_ids"]):
        raise BackendError(
            f"checkpoint {name!r} has no vocabulary for its tokenizer. Copy tokenizer.json (or vocab.json and "
            "merges.txt) from the model that it was trained from"
        )


def decode_greedily(model: Any) -> None:
    """Take sampling out of the checkpoint's generation settings; a repetition penalty stays, servers apply it too."""
    model.generation_config.do_sample = False
    model.generation_config.num_beams = 1
    model.generation_config.max_length = None  # each query brings its own limit
    for setting in SAMPLING:
        setattr(model.generation_config, setting, None)
