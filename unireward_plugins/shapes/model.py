"""The tiny judge before training: tokenizer, processor and network, of the real LLaVA classes, and what it is fed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import transformers as hf
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from unireward_plugins.shapes.render import SIDE, Pictures

PAD, TURN, END, IMAGE = "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"
PATCH = SIDE // 2
"""A picture is four patches, four tokens, one for each place: with more, smaller ones a network of this size does not
learn to see."""
IMAGE_TOKENS = (SIDE // PATCH) ** 2
WIDTH = 128
VISION_WIDTH = 128

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% set images = message.content | selectattr('type', 'equalto', 'image') | list %}"
    "{% set shown = namespace(images=0) %}{% for part in message.content %}{% if part.type == 'image' %}"
    "{% set shown.images = shown.images + 1 %}{% if images | length > 1 %}{{ shown.images }}{% endif %}<image>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Of several pictures each has its number before it: without that, a network of this size mixes up the places of the
second one, whose tokens look like those of the first."""


def build_processor(texts: Iterable[str]) -> Any:
    """A LLaVA processor whose tokenizer was fitted to the texts: nearly every word of theirs is one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in (PAD, TURN, END, IMAGE)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return hf.LlavaProcessor(
        image_processor=hf.SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE}),
        tokenizer=hf.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            eos_token=END,
            pad_token=PAD,
            padding_side="left",
            model_max_length=1024,
            extra_special_tokens={"image_token": IMAGE},
        ),
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        chat_template=CHAT_TEMPLATE,
    )


def build_model(processor: Any, *, seed: int) -> Any:
    """A LLaVA network with random weights that depend on the seed alone."""
    tokenizer = processor.tokenizer
    text = {
        "model_type": "llama",
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": 0.08,  # the usual 0.02 is far too small at this width: nothing is learned
    }
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": VISION_WIDTH,
        "intermediate_size": 4 * VISION_WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "patch_size": PATCH,
        "image_size": SIDE,
        "vision_use_head": False,
    }
    config = hf.LlavaConfig(
        text_config=text,
        vision_config=vision,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=IMAGE_TOKENS,
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = hf.LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def pixel_values(pictures: Pictures) -> torch.Tensor:
    """What the processor makes of pictures (n, side, side, 3) of our size, without its detours: (n, 3, side, side)."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def chat(question: str, *, images: int) -> str:
    """What the processor makes of one user turn with so many images before the question."""
    numbers = [""] if images == 1 else range(1, images + 1)
    shown = "".join(f"{number}{IMAGE * IMAGE_TOKENS}" for number in numbers)
    return f"{TURN}user\n{shown}{question}{END}\n{TURN}assistant\n"


def image_tokens(model: Any, pictures: Pictures) -> torch.Tensor:
    """What the language model sees of pictures (n, side, side, 3): (n, `IMAGE_TOKENS`, `WIDTH`)."""
    features = model.get_image_features(pixel_values=pixel_values(pictures)).pooler_output
    return torch.stack(list(features))


def teacher_forcing(
    processor: Any, prompts: Sequence[str], replies: Sequence[str], given: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Token ids, attention mask and labels (-100 where there is nothing to learn), padded on the right.

    Nothing is to be learned of the beginning of a reply that is given.
    """
    tokenizer = processor.tokenizer
    asked = tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    answered = tokenizer([reply + END for reply in replies], add_special_tokens=False)["input_ids"]
    begun = tokenizer([text.rstrip() for text in given], add_special_tokens=False)["input_ids"]
    length = max(len(before) + len(after) for before, after in zip(asked, answered, strict=True))
    ids = torch.full((len(asked), length), tokenizer.pad_token_id)
    labels = torch.full((len(asked), length), -100)
    mask = torch.zeros((len(asked), length), dtype=torch.long)
    for row, (before, after, start) in enumerate(zip(asked, answered, begun, strict=True)):
        end, first = len(before) + len(after), len(before) + len(start)
        ids[row, :end] = torch.tensor(before + after)
        labels[row, first:end] = torch.tensor(after[len(start) :])
        mask[row, :end] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}
