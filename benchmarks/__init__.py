"""One script a claim, each interleaved with the peer that it names; `python -m benchmarks.run` runs them all."""
