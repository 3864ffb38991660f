"""What backends add to, or save of, the time that a model takes: `python benchmarks/bench_backends.py`.

Three questions, each against what one would write by hand: does batching pay, what does a batched log-probability cost
beside a generated reply, and how near does the server backend come to the throughput that its concurrency allows?
The model is tiny and random: the ratios are about overhead, not about any published checkpoint.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tiny models and the stub server belong to the tests

from tests.backends.queries import picture
from tests.backends.stub_server import Answer, StubServer, completion
from tests.tiny_models import KINDS, build
from unireward_plugins.backends.openai import OpenAIBackend
from unireward_plugins.backends.transformers import TransformersBackend
from unireward_plugins.types import Query


def seconds(work: Callable[[], object], *, clock: Callable[[], float] = time.process_time, repeats: int = 3) -> float:
    """The least time that the work takes, after one run to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return min(times)


def group(count: int) -> list[Query]:
    """A group as in GRPO: one picture and question, and so many answers of different lengths."""
    shown = picture(0, 112, 112)
    return [
        Query(text="Which answer is better? " * 8 + "It is red. " * (1 + index % 5), media=(shown,), max_tokens=24)
        for index in range(count)
    ]


def local(kind: str, count: int) -> None:
    """One by one against batches, generated and read, in CPU seconds on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        backend = TransformersBackend(build(kind, Path(folder)), device="cpu")
        written = group(count)
        read = [replace(query, prefill="Image ", choices=("1", "2")) for query in written]
        for name, queries in (("generate", written), ("likelihood", read)):
            alone = seconds(lambda queries=queries: [backend([query]) for query in queries])  # type: ignore[misc]
            batched = seconds(lambda queries=queries: backend(queries))  # type: ignore[misc]
            print(
                f"{kind:16} {name:11} {alone / count * 1e3:9.1f} {batched / count * 1e3:9.1f} {alone / batched:7.1f}x"
            )


def served(count: int, concurrency: int, delay: float) -> None:
    """Replies a second from a server that takes `delay` seconds for each, against the most that is possible."""
    with StubServer(lambda _: Answer(completion("Image 1"), delay=delay)) as server:
        backend = OpenAIBackend(server.url, concurrency=concurrency)
        queries = [Query(text="Which?", media=(picture(index, 512, 512),)) for index in range(count)]
        took = seconds(lambda: backend(queries), clock=time.perf_counter, repeats=2)
        print(f"{count} queries, {concurrency} at once, a server that takes {delay * 1e3:.0f} ms for each:")
        print(f"{count / took:.0f} of {concurrency / delay:.0f} replies/s over {server.connections} connections")


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=["qwen2_5_vl", "qwen3_vl", "llava_onevision"], choices=KINDS)
    parser.add_argument("--queries", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'model':16} {'readout':11} {'alone ms':>9} {'batch ms':>9} {'ratio':>8}   per query, CPU time, one thread")
    for kind in options.kinds:
        local(kind, options.queries)
    served(options.queries * 4, 16, 0.1)


if __name__ == "__main__":
    sys.exit(main())
