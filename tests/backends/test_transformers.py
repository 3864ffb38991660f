"""The transformers backend against transformers itself, on tiny models of all five architectures."""

from __future__ import annotations

import functools
import json
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.backends.conftest import TINY
from tests.backends.queries import mixed_queries, picture, tournament
from tests.tiny_models import KINDS
from unireward_plugins.backends.transformers import TransformersBackend
from unireward_plugins.errors import BackendError
from unireward_plugins.types import TOO_LONG, Query, Reply

Checkpoints = Callable[[str], Path]


class Reference:
    """The shortest way to ask a model with transformers alone, one query at a time."""

    def __init__(self, folder: Path) -> None:
        self.model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
        self.processor = transformers.AutoProcessor.from_pretrained(folder)

    def inputs(self, query: Query, **template: Any) -> Any:
        content = [
            *({"type": "image", "image": media.pil()} for media in query.media),
            {"type": "text", "text": query.text},
        ]
        return self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            **template,
        )

    def ids(self, query: Query, **template: Any) -> list[int]:
        inputs = self.inputs(query, **template)
        ids = self.model.generate(**inputs, max_new_tokens=query.max_tokens, do_sample=False)
        return list(ids[0, inputs["input_ids"].shape[1] :].tolist())

    def generate(self, query: Query, **template: Any) -> str:
        return str(self.processor.decode(self.ids(query, **template), skip_special_tokens=True))

    def logprobs(self, query: Query) -> list[float]:
        """Of the choices, each a token of its own right after the prefill."""
        content = [*({"type": "image"} for _ in query.media), {"type": "text", "text": query.text}]
        chat = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        images = [[media.pil() for media in query.media]] if query.media else None
        inputs = self.processor(text=[chat + query.prefill], images=images, return_tensors="pt")
        with torch.no_grad():
            row = self.model(**inputs).logits[0, -1].log_softmax(-1)
        return [row[self.processor.tokenizer.convert_tokens_to_ids(choice)].item() for choice in query.choices]


@pytest.mark.parametrize("kind", KINDS)
def test_replies_in_batches_are_those_of_transformers_alone(kind: str, checkpoint: Checkpoints) -> None:
    queries = mixed_queries(max_tokens=12)
    reference = Reference(checkpoint(kind))
    expected = [reference.generate(query) for query in queries]
    assert [reply.text for reply in TransformersBackend(checkpoint(kind))(queries)] == expected
    assert len(set(expected)) >= len(queries) - 1, "the tiny model answers each query in its own way"


@pytest.mark.parametrize("kind", KINDS)
def test_log_probabilities_in_batches_are_those_of_transformers_alone(kind: str, checkpoint: Checkpoints) -> None:
    queries = mixed_queries(prefill="Image ", choices=("1", "2", "3"))
    reference = Reference(checkpoint(kind))
    expected = torch.tensor([reference.logprobs(query) for query in queries])
    backend = TransformersBackend(checkpoint(kind))
    batched, alone = (
        torch.tensor([reply.logprobs for reply in replies])
        for replies in (backend(queries), [backend([query])[0] for query in queries])
    )
    assert (batched - alone).abs().max() < 1e-5
    assert (batched - expected).abs().max() < 1e-5
    assert batched.std(dim=0).min() > 0.005, "queries differ by far more than the tolerance"


def vision_patches(backend: TransformersBackend) -> list[int]:
    """Fills with how many patches the vision encoder is given, call by call."""
    seen: list[int] = []
    model = backend._open().model.model
    tower = model.visual if hasattr(model, "visual") else model.vision_tower
    tower.register_forward_pre_hook(lambda module, args, inputs: seen.append(len(args[0])), with_kwargs=True)
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_that_come_up_again_change_nothing(kind: str, checkpoint: Checkpoints) -> None:
    """In a tournament each picture is in many prompts, at each place, beside each other picture."""
    backend, choices = TransformersBackend(checkpoint(kind)), ("1", "2", "3")
    written, chosen = tournament(3, max_tokens=6), tournament(3, prefill="Image ", choices=choices)
    assert backend(written) == [backend([query])[0] for query in written]
    batched, alone = (
        torch.tensor([reply.logprobs for reply in replies])
        for replies in (backend(chosen), [backend([query])[0] for query in chosen])
    )
    assert (batched - alone).abs().max() < 1e-5
    assert batched[:-1].std(dim=0).min() > 0.001, "other pictures move them by far more"


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl", "qwen3_5"])
def test_each_picture_of_a_batch_is_encoded_once(kind: str, checkpoint: Checkpoints) -> None:
    backend = TransformersBackend(checkpoint(kind))
    seen = vision_patches(backend)
    backend([Query("x", media=(picture(seed, 40 + 12 * seed, 64),), choices=("1", "2")) for seed in range(4)])
    distinct = sum(seen)
    seen.clear()
    backend(tournament(4, choices=("1", "2")))
    assert sum(seen) == distinct


def test_small_budgets_change_nothing(checkpoint: Checkpoints) -> None:
    queries = mixed_queries()
    wide, narrow = (TransformersBackend(checkpoint(TINY), batch_tokens=tokens) for tokens in (100_000, 150))
    assert wide(queries) == narrow(queries)


def test_a_prefill_is_gone_on_with(checkpoint: Checkpoints) -> None:
    """Forcing the beginning of what the model would say anyway changes nothing."""
    backend = TransformersBackend(checkpoint("qwen2_5_vl"))
    for query in mixed_queries(max_tokens=12):
        whole = backend([query])[0].text
        ids = backend._open().tokenizer(whole)["input_ids"]
        start = backend._open().tokenizer.decode(ids[:4])
        if "\ufffd" not in whole and backend._open().tokenizer(start)["input_ids"] == ids[:4]:
            assert backend([replace(query, prefill=start, max_tokens=12 - 4)])[0].text.startswith(
                whole[: len(start) + 1]
            )
            return
    pytest.fail("no reply of the tiny model is text through and through")


def test_spaces_after_a_prefill_are_kept(checkpoint: Checkpoints) -> None:
    """Llama's tokenizer drops the space that a text begins with; in the middle of a reply it belongs there."""
    backend = TransformersBackend(checkpoint("llava"))
    opened = backend._open()
    spaced = opened.tokenizer.convert_tokens_to_ids("▁is")
    assert spaced != opened.tokenizer.unk_token_id
    replies = [
        reply.text
        for reply in forced(backend, spaced)([Query("x", prefill="It", max_tokens=2), Query("x", max_tokens=2)])
    ]
    assert replies == ["It is is", "is is"]


def forced(backend: TransformersBackend, token: int) -> TransformersBackend:
    """The backend with a model that always says the same token."""
    head = backend._open().model.get_output_embeddings()
    head.register_forward_hook(
        lambda module, args, output: torch.full_like(output, -1.0).index_fill(-1, torch.tensor(token), 1.0)
    )
    return backend


@pytest.mark.parametrize("kind", ["qwen3_vl", "qwen3_5"])
@pytest.mark.parametrize("tag", ["<think>", "</think>"])
def test_think_tags_stay_in_the_text(kind: str, tag: str, checkpoint: Checkpoints) -> None:
    backend = TransformersBackend(checkpoint(kind))
    token = backend._open().tokenizer.convert_tokens_to_ids(tag)
    assert forced(backend, token)([Query("x", max_tokens=2)]) == [Reply(tag * 2)]


def test_special_tokens_do_not(checkpoint: Checkpoints) -> None:
    backend = TransformersBackend(checkpoint(TINY))
    token = backend._open().tokenizer.convert_tokens_to_ids("<|object_ref_start|>")
    assert forced(backend, token)([Query("x", max_tokens=2)]) == [Reply("")]


def test_a_reply_ends_at_the_end_token_also_beside_longer_ones(checkpoint: Checkpoints, tmp_path: Path) -> None:
    """A token of one reply is made an end token beside the usual one: checkpoints may have several."""
    queries = mixed_queries(max_tokens=12)
    written = Reference(checkpoint(TINY)).ids(queries[7])
    folder = shutil.copytree(checkpoint(TINY), tmp_path / "ends")
    settings = json.loads((folder / "generation_config.json").read_text())
    ends = [settings["eos_token_id"], written[3]]
    (folder / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": ends}))
    reference = Reference(folder)
    expected = []
    for query in queries:
        ids = reference.ids(query)
        expected.append(reference.processor.decode(ids[:-1] if ids[-1] in ends else ids, skip_special_tokens=True))
    assert [reply.text for reply in TransformersBackend(folder)(queries)] == expected
    assert len({len(reference.ids(query)) for query in queries}) > 1


def test_the_chat_template_is_told_what_the_user_says(checkpoint: Checkpoints) -> None:
    query = mixed_queries(max_tokens=12)[1]
    reference = Reference(checkpoint("qwen3_5"))
    silent = TransformersBackend(checkpoint("qwen3_5"), chat_template_kwargs={"enable_thinking": False})
    assert silent([query])[0].text == reference.generate(query, enable_thinking=False)
    assert (
        TransformersBackend(checkpoint("qwen3_5"))([query])[0].text
        == reference.generate(query)
        != silent([query])[0].text
    )


def out_of_memory_above(rows: int, model: Any) -> list[int]:
    """Let the model run out of memory for batches of more than so many rows; the list fills with what was tried."""
    tried: list[int] = []
    forward = model.forward

    @functools.wraps(forward)  # generate looks at the parameters
    def limited(*args: Any, **inputs: Any) -> Any:
        tried.append(inputs["input_ids"].shape[0])
        if tried[-1] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return forward(*args, **inputs)

    model.forward = limited
    return tried


@pytest.mark.parametrize("choices", [(), ("1", "2")])
def test_out_of_memory_halves_the_batch_and_goes_on(
    checkpoint: Checkpoints, caplog: pytest.LogCaptureFixture, choices: tuple[str, ...]
) -> None:
    queries = mixed_queries(prefill="Image ", choices=choices) * 2
    expected = TransformersBackend(checkpoint(TINY))(queries)
    backend = TransformersBackend(checkpoint(TINY))
    tried = out_of_memory_above(3, backend._open().model)
    replies = backend(queries)
    assert [reply.text for reply in replies] == [reply.text for reply in expected]
    assert tried[0] > 3
    assert any(1 < rows <= 3 for rows in tried), "batches stay as large as they may be"
    assert "going on with at most" in caplog.text
    tried.clear()
    backend(queries)
    assert max(tried) <= 3, "what memory has taught is not forgotten"


def test_one_query_that_does_not_fit_into_memory_is_an_error_that_says_what_to_do(checkpoint: Checkpoints) -> None:
    backend = TransformersBackend(checkpoint(TINY))
    out_of_memory_above(0, backend._open().model)
    with pytest.raises(
        BackendError, match=r"memory does not suffice for one query of .* fewer pictures, .*smaller checkpoint"
    ):
        backend(mixed_queries())


@pytest.mark.parametrize(
    "failure", [ValueError("Image features and image tokens do not match"), RuntimeError("CUDA error")]
)
def test_whatever_a_model_raises_is_an_error_that_names_it(checkpoint: Checkpoints, failure: Exception) -> None:
    backend = TransformersBackend(checkpoint(TINY))
    backend._open().model.register_forward_pre_hook(lambda *args: (_ for _ in ()).throw(failure))
    with pytest.raises(BackendError, match=f"{checkpoint(TINY)}.*failed on 1 queries: {failure}"):
        backend([Query("x")])


def test_a_picture_that_a_processor_refuses_is_an_error_that_names_its_size(checkpoint: Checkpoints) -> None:
    backend = TransformersBackend(checkpoint(TINY))
    with pytest.raises(BackendError, match=rf"{checkpoint(TINY)}.*\(its pictures: 64x64, 2x900\): .*aspect ratio"):
        backend([Query("x", media=(picture(1), picture(2, width=2, height=900)))])


def test_the_revision_stays_that_of_the_model_in_use(checkpoint: Checkpoints, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint(TINY), tmp_path / "copy")
    backend = TransformersBackend(folder)
    before = backend.revision
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert backend.revision == before != TransformersBackend(folder).revision


def test_threads_share_one_model(checkpoint: Checkpoints) -> None:
    queries = mixed_queries()
    backend = TransformersBackend(checkpoint(TINY))
    expected = TransformersBackend(checkpoint(TINY))(queries)
    start = threading.Barrier(len(queries))

    def ask(query: Query) -> Reply:
        start.wait()
        return backend([query])[0]

    with ThreadPoolExecutor(len(queries)) as pool:
        assert list(pool.map(ask, queries)) == expected


def test_building_one_loads_nothing(tmp_path: Path) -> None:
    TransformersBackend(tmp_path / "not there")
    TransformersBackend("somebody/something")


@pytest.mark.parametrize("choices", [("1", "10"), ("1", "1"), ("better", "worse indeed"), ("", "1")])
def test_choices_that_are_not_one_token_each_are_refused(checkpoint: Checkpoints, choices: tuple[str, ...]) -> None:
    backend = TransformersBackend(checkpoint(TINY))
    with pytest.raises(BackendError, match=f"the tokenizer of '{checkpoint(TINY)}'"):
        backend([Query("x", prefill="Image ", choices=choices)])


def test_a_query_that_the_model_has_no_room_for_costs_no_other_its_reply(
    checkpoint: Checkpoints, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    backend, short = TransformersBackend(checkpoint(TINY)), mixed_queries()[:2]
    too_long = [Query("word " * 9000), Query("x", media=(picture(0),), max_tokens=9000)]
    assert backend([short[0], too_long[0], short[1], too_long[1]]) == [
        backend(short)[0],
        TOO_LONG,
        backend(short)[1],
        TOO_LONG,
    ]
    assert backend(too_long) == [TOO_LONG, TOO_LONG]
    assert f"a reply of up to 9000 do not fit into checkpoint '{checkpoint(TINY)}', which holds 8192" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and there is none here")
def test_on_a_gpu_it_answers_in_bfloat16_much_as_on_the_cpu(checkpoint: Checkpoints) -> None:
    queries = mixed_queries(prefill="Image ", choices=("1", "2"))
    local, accelerated = TransformersBackend(checkpoint(TINY), device="cpu"), TransformersBackend(checkpoint(TINY))
    assert accelerated._open().model.dtype == torch.bfloat16
    for ours, theirs in zip(local(queries), accelerated(queries), strict=True):
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=0.2)
