"""Loading tokens on one core from the page cache: against PyTorch's `DataLoader` over a memory-mapped file.

    python -m benchmarks.loader [--seconds 5]

Ours reads Jane Austen's paragraphs as documents that do not see each other: shuffled, cut where they are longer than a
sequence, packed by best fit, with lengths and positions. The peer does what scripts commonly do: all tokens in one
file, chunks of the sequence's length at random, whatever documents they cut or join; no masks. Both hand out int64
tensors of inputs and targets, 8,192 tokens at a time. The text is repeated until there are as many tokens to plan as in
a large corpus. Time is that of the processor, so that a busy machine tells the same.

Printed beside it: what best-fit packing leaves empty, for real texts and two contexts.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import interleave, report
from benchmarks.data import prepared

CONTEXTS = 256, 1024
BATCH = 8192
"""Tokens, as in `llama-mini`."""
WANTED = 60_000_000


def repeated(shards: object, folder: Path) -> Path:
    """A split that holds a text as often as it takes to have enough tokens."""
    times = -(-WANTED // shards.n_tokens)
    lengths = np.diff(shards.document_offsets)
    folder.mkdir()
    with (folder / "tokens-00000.bin").open("wb") as file:
        for _ in range(times):
            shards.tokens(0, shards.n_tokens).tofile(file)
    offsets = np.concatenate([[0], np.cumsum(np.tile(lengths, times))])
    np.save(folder / "documents.npy", offsets)
    np.save(folder / "sentences.npy", offsets)
    np.save(folder / "document_sentences.npy", np.arange(len(offsets)))
    np.save(folder / "bytes.npy", np.tile(shards.document_bytes, times))
    return folder


def rate(batches: object, seconds: float) -> float:
    """Million tokens a second of one core's time."""
    tokens, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        tokens += sum(next(batches) for _ in range(20))
    return tokens / (time.process_time() - start) / 1e6


def measure(seq_len: int, seconds: float) -> None:
    """Both sides in turn, on one thread."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    import sensorium as sm
    from sensorium.data.shards import TokenShards
    from sensorium.objectives.causal import CausalObjective
    from sensorium.objectives.stream import Stream

    torch.set_num_threads(1)
    corpus = sm.Corpus.open(prepared("austen-paragraphs-bpe", tokenizer="bpe:8000", documents=False))
    with tempfile.TemporaryDirectory() as name:
        vocab_size = corpus.tokenizer.vocab_size
        shards = TokenShards(repeated(corpus.train, Path(name) / "train"), vocab_size)

        class Chunks(Dataset):
            """Inputs and targets of a chunk."""

            def __init__(self) -> None:
                self.tokens = np.memmap(Path(name) / "train" / "tokens-00000.bin", dtype=np.uint16, mode="r")

            def __len__(self) -> int:
                return (len(self.tokens) - 1) // seq_len

            def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
                chunk = torch.from_numpy(self.tokens[i * seq_len : (i + 1) * seq_len + 1].astype(np.int64))
                return chunk[:-1], chunk[1:]

        stream = Stream(CausalObjective(corpus.tokenizer, seq_len=seq_len), shards, BATCH, 0)
        loader = DataLoader(Chunks(), batch_size=BATCH // seq_len, shuffle=True, drop_last=True)
        ours = (stream.next().tokens for _ in itertools.count())
        theirs = (x.numel() for _ in itertools.count() for x, _ in loader)
        for side in (ours, theirs):  # pages and plans that a run makes once
            rate(side, 0.5)
        comparison = interleave(lambda: rate(ours, seconds), lambda: rate(theirs, seconds))
        report(
            f"Loading {shards.n_tokens / 1e6:.0f} M tokens of {len(shards):,} documents, context {seq_len:,}, one core",
            peers={"`DataLoader` over a memory map, concatenated and chunked": comparison},
            unit="M tokens/s",
            targets=[0.3],  # it cuts and joins documents as they come, which is less work
            notes=[f"passed while it was measured: {stream.passed[0]:.1f} epochs, plans of all blocks included"],
        )


def wasted(folder: Path, seq_len: int) -> float:
    """Share of rows of the context's length that stands empty over an epoch."""
    import sensorium as sm
    from sensorium.objectives.causal import CausalObjective
    from sensorium.objectives.stream import Stream

    corpus = sm.Corpus.open(folder)
    stream = Stream(CausalObjective(corpus.tokenizer, seq_len=seq_len), corpus.train, seq_len, 0)
    rows = tokens = 0
    while stream.epoch == 0:
        rows, tokens = rows + 1, tokens + stream.next().tokens
    return 1 - tokens / (rows * seq_len)


def main() -> None:
    """Print rates, then waste."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    for seq_len in CONTEXTS:
        measure(seq_len, seconds)
    texts = {
        "novels by paragraph": prepared("austen-paragraphs-bpe", tokenizer="bpe:8000", documents=False),
        "novels by chapter": prepared("austen-chapters-bpe", tokenizer="bpe:8000", documents=True),
    }
    print("### Places that best-fit packing leaves empty\n")
    print(f"| text | {' | '.join(f'context {seq_len:,}' for seq_len in CONTEXTS)} |\n|---|---|---|")
    for name, folder in texts.items():
        print(f"| {name} | {' | '.join(f'{wasted(folder, seq_len):.2%}' for seq_len in CONTEXTS)} |")


if __name__ == "__main__":
    main()
