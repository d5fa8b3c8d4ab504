"""datatrove's side of `benchmarks.prepare`, for a Python that has `datatrove[io,processing]` and `spacy`.

    PEER benchmarks/prepare_peer.py INPUT OUT --workers 2

It is run by its path and imports nothing of this project. The filters have their own limits, and stand in the order
of ours; the stages of MinHash follow each other as in datatrove's examples, none of them packs what it writes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def run(source: Path, out: Path, *, workers: int, ngram: int, bands: int, rows: int) -> None:
    """Filter and deduplicate JSON Lines, a task for each file.

    Args:
        source: a folder of them.
        out: an empty folder; what is kept comes to `out/kept`.
        workers: processes.
        ngram: words of an n-gram.
        bands: of a signature.
        rows: numbers of a band.
    """
    from datatrove.executor.local import LocalPipelineExecutor
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig(n_grams=ngram, num_buckets=bands, hashes_per_bucket=rows)
    filtered, signatures, buckets, removed = (str(out / name) for name in ("filtered", "sigs", "buckets", "removed"))
    files = len(list(source.glob("*.jsonl")))

    def stage(name: str, tasks: int, pipeline: Sequence[Any]) -> None:
        logs = str(out / "logs" / name)
        LocalPipelineExecutor(list(pipeline), tasks=tasks, workers=min(workers, tasks), logging_dir=logs).run()

    filters = (C4QualityFilter(), GopherRepetitionFilter(), GopherQualityFilter(), FineWebQualityFilter())
    writer = JsonlWriter(filtered, output_filename="${rank}.jsonl", compression=None)
    stage("filters", files, [JsonlReader(str(source), compression=None), *filters, writer])
    stage("signatures", files, [JsonlReader(filtered), MinhashDedupSignature(signatures, config)])
    stage("buckets", bands, [MinhashDedupBuckets(signatures, buckets, config=config)])
    stage("clusters", 1, [MinhashDedupCluster(buckets, removed, config=config)])
    last = JsonlWriter(str(out / "kept"), output_filename="${rank}.jsonl", compression=None)
    stage("kept", files, [JsonlReader(filtered), MinhashDedupFilter(removed), last])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    for name, value in (("workers", 2), ("ngram", 5), ("bands", 14), ("rows", 8)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    run(given.source, given.out, workers=given.workers, ngram=given.ngram, bands=given.bands, rows=given.rows)


if __name__ == "__main__":
    main()
