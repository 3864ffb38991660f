"""Tiny vision-language models of five real architectures: random weights, real tokenizers, saved and loaded for real.

Each tokenizer is a byte-level (Qwen) or byte-fallback (Llama) BPE of a few hundred pieces of the class that the family
really uses, with the family's own added tokens and a chat template of the same frame. So what a prompt looks like at
its seams is what it looks like in front of the published checkpoint; only the weights mean nothing.

    folder = build("qwen3_vl", tmp_path / "qwen3_vl")
    AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

IM_END, END_OF_TEXT = "<|im_end|>", "<|endoftext|>"

QWEN2_TOKENS = {END_OF_TEXT: True, "<|im_start|>": True, IM_END: True}
"""Added tokens in the order of their ids, and whether each is special (left out of a decoded reply)."""
QWEN2_5_TOKENS = {
    **QWEN2_TOKENS,
    **dict.fromkeys(["<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"], True),
    **dict.fromkeys(["<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"], True),
    **dict.fromkeys(["<|image_pad|>", "<|video_pad|>"], True),
    **dict.fromkeys(["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"], False),
    **dict.fromkeys(["<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"], False),
}
QWEN3_TOKENS = {
    **QWEN2_5_TOKENS,
    **dict.fromkeys(["<tool_response>", "</tool_response>", "<think>", "</think>"], False),
}
LLAVA_ONEVISION_TOKENS = {**QWEN2_TOKENS, "<image>": True, "<video>": True}
LLAVA_TOKENS = {"<unk>": True, "<s>": True, "</s>": True, "<image>": True, "<pad>": True}

_CHATML = (
    "{% for message in messages %}{% if loop.first and message.role != 'system' %}{SYSTEM}{% endif %}"
    "<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{THINKING}{% endif %}"
)
_QWEN2_5_TEMPLATE = _CHATML.replace("{SYSTEM}", "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n").replace(
    "{THINKING}", ""
)
_QWEN3_TEMPLATE = _CHATML.replace("{SYSTEM}", "").replace("{THINKING}", "")
_QWEN3_5_TEMPLATE = _CHATML.replace("{SYSTEM}", "").replace(
    "{THINKING}",
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}",
)
_LLAVA_ONEVISION_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }} "
    "{% if message.content is string %}{{ '\n' + message.content }}{% else %}"
    "{% for part in message.content if part.type == 'image' %}<image>{% endfor %}"
    "{% for part in message.content if part.type == 'video' %}<video>{% endfor %}"
    "{% for part in message.content if part.type == 'text' %}{{ '\n' + part.text }}{% endfor %}{% endif %}<|im_end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LLAVA_TEMPLATE = (
    "{% for message in messages %}{{ message.role.upper() }}: "
    "{% if message.content is string %}{{ message.content }} {% else %}"
    "{% for part in message.content if part.type == 'image' %}<image>\n{% endfor %}"
    "{% for part in message.content if part.type == 'text' %}{{ part.text }} {% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)

_CORPUS = [
    "Image 1 is better than Image 2. Image 2 is better than Image 1. Both images are equally good.",
    "Alignment Score (1-5): 4.5\nCoherence Score (1-5): 3.0\nStyle Score (1-5): 2.75\nFinal Score: 8",
    "You are presented with a generated image and its associated text caption. Analyze the image across dimensions.",
    "<think>The first answer names the red square, the second does not.</think>\n<answer>Answer 1 is better</answer>",
    '{"reasoning": "The edit follows the instruction.", "score": [20, 17]}',
    "Is a red circle above a blue triangle, yes or no?",
]


def build(kind: str, folder: Path, *, seed: int = 0) -> Path:
    """Save a tiny model and its processor of one of the `KINDS` into `folder`, and return the folder.

    The weights are drawn from `seed`, large enough that different prompts and pictures get different replies.
    """
    processor = PROCESSORS[kind]()
    torch.manual_seed(seed)
    model = hf.AutoModelForImageTextToText.from_config(CONFIGS[kind](processor.tokenizer), dtype=torch.float32).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                # Small embeddings and large layers: what is said depends on the whole prompt, not on the last token.
                weight.normal_(0.0, (0.3 if "embed_tokens" in name else 1.5) * weight[0].numel() ** -0.5)
    model.generation_config.eos_token_id = processor.tokenizer.eos_token_id
    model.generation_config.pad_token_id = processor.tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _train(
    pre_tokenizer: pre_tokenizers.PreTokenizer, alphabet: list[str]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a BPE over the corpus."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(
        _CORPUS, trainers.BpeTrainer(vocab_size=512, initial_alphabet=alphabet, show_progress=False)
    )
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [(first, second) for first, second in model["merges"]]


def _added(tokens: Mapping[str, bool]) -> list[AddedToken]:
    return [AddedToken(token, special=special, normalized=False) for token, special in tokens.items()]


def _qwen_tokenizer(family: Any, tokens: Mapping[str, bool], *, image: str, video: str) -> Any:
    pieces, merges = _train(family().backend_tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel.alphabet())
    tokenizer = family(
        vocab=pieces | {token: len(pieces) + offset for offset, token in enumerate(tokens)},
        merges=merges,
        unk_token=None,
        eos_token=IM_END,
        pad_token=END_OF_TEXT,
        padding_side="left",
        model_max_length=8192,
        extra_special_tokens={"image_token": image, "video_token": video},
    )
    tokenizer.add_tokens(_added(tokens))
    return tokenizer


def _llama_tokenizer(tokens: Mapping[str, bool]) -> Any:
    first, last = list(tokens)[:3], list(tokens)[3:]
    trained, merges = _train(
        pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Digits(individual_digits=True)]),
        list("0123456789"),
    )
    pieces = [*first, *(f"<0x{byte:02X}>" for byte in range(256)), *trained, *last]
    tokenizer = hf.LlamaTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)},
        merges=merges,
        pad_token="<pad>",
        add_bos_token=True,
        model_max_length=8192,
        extra_special_tokens={"image_token": "<image>"},
    )
    tokenizer.add_tokens(_added(tokens))
    return tokenizer


def _qwen_processor(
    processor: Any, video_processor: Any, tokenizer: Any, *, patch: int, template: str
) -> hf.ProcessorMixin:
    smallest = (2 * patch) ** 2
    size = {"shortest_edge": smallest, "longest_edge": 16 * smallest}
    grid = {"patch_size": patch, "merge_size": 2, "temporal_patch_size": 2}
    return processor(
        image_processor=hf.Qwen2VLImageProcessor(size=size, **grid),
        video_processor=video_processor(
            size=size | {"longest_edge": 64 * smallest}, min_frames=2, max_frames=8, **grid
        ),
        tokenizer=tokenizer,
        chat_template=template,
    )


def _qwen2_5_vl_processor() -> hf.ProcessorMixin:
    tokenizer = _qwen_tokenizer(hf.Qwen2Tokenizer, QWEN2_5_TOKENS, image="<|image_pad|>", video="<|video_pad|>")
    return _qwen_processor(
        hf.Qwen2_5_VLProcessor, hf.Qwen2VLVideoProcessor, tokenizer, patch=14, template=_QWEN2_5_TEMPLATE
    )


def _qwen3_vl_processor() -> hf.ProcessorMixin:
    tokenizer = _qwen_tokenizer(hf.Qwen2Tokenizer, QWEN3_TOKENS, image="<|image_pad|>", video="<|video_pad|>")
    return _qwen_processor(hf.Qwen3VLProcessor, hf.Qwen3VLVideoProcessor, tokenizer, patch=16, template=_QWEN3_TEMPLATE)


def _qwen3_5_processor() -> hf.ProcessorMixin:
    tokenizer = _qwen_tokenizer(hf.Qwen3_5Tokenizer, QWEN3_TOKENS, image="<|image_pad|>", video="<|video_pad|>")
    return _qwen_processor(
        hf.Qwen3VLProcessor, hf.Qwen3VLVideoProcessor, tokenizer, patch=16, template=_QWEN3_5_TEMPLATE
    )


_GRIDS = [[56, 112], [112, 56], [112, 112]]


def _llava_onevision_processor() -> hf.ProcessorMixin:
    size = {"height": 56, "width": 56}
    return hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(image_grid_pinpoints=_GRIDS, size=size),
        video_processor=hf.LlavaOnevisionVideoProcessor(size=size),
        tokenizer=_qwen_tokenizer(hf.Qwen2Tokenizer, LLAVA_ONEVISION_TOKENS, image="<image>", video="<video>"),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=_LLAVA_ONEVISION_TEMPLATE,
    )


def _llava_processor() -> hf.ProcessorMixin:
    return hf.LlavaProcessor(
        image_processor=hf.SiglipImageProcessor(size={"height": 56, "width": 56}),
        tokenizer=_llama_tokenizer(LLAVA_TOKENS),
        patch_size=14,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=_LLAVA_TEMPLATE,
    )


def _text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """Two layers of width 64; the mrope sections sum to half a head."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def _rope(**more: Any) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2], **more}


def _qwen_config(config: Any, tokenizer: Any, *, text: dict[str, Any], vision: dict[str, Any]) -> hf.PreTrainedConfig:
    common = {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": 64}
    return config(
        text_config=_text(tokenizer, **text),
        vision_config=common | {"spatial_merge_size": 2, "temporal_patch_size": 2} | vision,
        tie_word_embeddings=True,
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )


def _qwen2_5_vl_config(tokenizer: Any) -> hf.PreTrainedConfig:
    vision = {"patch_size": 14, "window_size": 112, "fullatt_block_indexes": [1], "tokens_per_second": 2}
    return _qwen_config(hf.Qwen2_5_VLConfig, tokenizer, text={"rope_parameters": _rope()}, vision=vision)


def _qwen3_vl_config(tokenizer: Any) -> hf.PreTrainedConfig:
    text = {"rope_parameters": _rope(mrope_interleaved=True), "head_dim": 16}
    vision = {"patch_size": 16, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    return _qwen_config(hf.Qwen3VLConfig, tokenizer, text=text, vision=vision)


def _qwen3_5_config(tokenizer: Any) -> hf.PreTrainedConfig:
    text = {
        "rope_parameters": _rope(mrope_interleaved=True, partial_rotary_factor=1.0),
        "head_dim": 16,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    }
    vision = {"patch_size": 16, "num_position_embeddings": 64}
    return _qwen_config(hf.Qwen3_5Config, tokenizer, text=text, vision=vision)


_SIGLIP = {
    "model_type": "siglip_vision_model",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "patch_size": 14,
    "image_size": 56,
    "vision_use_head": False,
}


def _llava_onevision_config(tokenizer: Any) -> hf.PreTrainedConfig:
    return hf.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2"} | _text(tokenizer),
        vision_config=_SIGLIP,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
        image_grid_pinpoints=_GRIDS,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        tie_word_embeddings=True,
    )


def _llava_config(tokenizer: Any) -> hf.PreTrainedConfig:
    return hf.LlavaConfig(
        text_config={"model_type": "llama"} | _text(tokenizer),
        vision_config=_SIGLIP,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        tie_word_embeddings=True,
    )


PROCESSORS: Mapping[str, Callable[[], hf.ProcessorMixin]] = {
    "qwen2_5_vl": _qwen2_5_vl_processor,
    "qwen3_vl": _qwen3_vl_processor,
    "qwen3_5": _qwen3_5_processor,
    "llava_onevision": _llava_onevision_processor,
    "llava": _llava_processor,
}
CONFIGS: Mapping[str, Callable[[Any], hf.PreTrainedConfig]] = {
    "qwen2_5_vl": _qwen2_5_vl_config,
    "qwen3_vl": _qwen3_vl_config,
    "qwen3_5": _qwen3_5_config,
    "llava_onevision": _llava_onevision_config,
    "llava": _llava_config,
}
KINDS = tuple(CONFIGS)
