"""Greedy decoding of one sequence: SmolLM2-135M, fp32, against `transformers` `generate`.

    python -m benchmarks.decode

Both start from the same GGUF file, compute in fp32 and must give the same tokens. The peer reads the dequantised
weights, 538 MB a token, from memory; ours the codes that the file holds, which say the same in 111 MB. Reading once a
token is the limit of either.
"""

from __future__ import annotations

import argparse
import json
import time

from benchmarks.common import interleave, report
from benchmarks.data import smollm2
from benchmarks.limits import matrix_vector

PROMPT = "Once upon a time, in a small village by the sea, there lived"
NEW_TOKENS = 64
WEIGHTS = 134_515_008
COLUMNS = 576


def measure(new_tokens: int = NEW_TOKENS) -> None:
    """Load both, compare their tokens, time them in turn."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import sensorium as sm
    from sensorium.core.skinny import kernel

    path = smollm2()
    lm = sm.load(path)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    inputs = tokenizer(PROMPT, return_tensors="pt")
    ids: dict[str, list[int]] = {}

    def ours() -> float:
        start = time.perf_counter()
        ids["ours"] = list(lm.generate(PROMPT, max_new_tokens=new_tokens, ignore_eos=True).token_ids)
        return new_tokens / (time.perf_counter() - start)

    def theirs() -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(
                **inputs, max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False, use_cache=True
            )
        ids["theirs"] = out[0, inputs["input_ids"].shape[1] :].tolist()
        return new_tokens / (time.perf_counter() - start)

    ours()
    theirs()
    same = ids["ours"] == ids["theirs"]
    comparison = interleave(ours, theirs, rounds=3)
    # One product that reads as much as a token does: a smaller one would stay in the cache.
    limit = matrix_vector(WEIGHTS // COLUMNS, COLUMNS) / (WEIGHTS * 4 / 1e9)
    report(
        "Greedy decoding, SmolLM2-135M, batch 1, fp32",
        peers={"transformers `generate`": comparison},
        unit="tokens/s",
        targets=[3.0],
        notes=[
            f"the {new_tokens} tokens of both are {'the same' if same else '**not the same**'}",
            f"reading all weights once a token allows {limit:.0f} tokens/s as fp32 on this machine"
            f"{'' if kernel() else '; the compiled kernel was not built here'}",
        ],
    )


def profile(new_tokens: int = NEW_TOKENS) -> None:
    """Our side alone, for a profiler; prints tokens/s."""
    import sensorium as sm

    lm = sm.load(smollm2())
    start = time.perf_counter()
    lm.generate(PROMPT, max_new_tokens=new_tokens, ignore_eos=True)
    print(json.dumps({"tokens_per_second": new_tokens / (time.perf_counter() - start)}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", choices=["ours"])
    profile() if parser.parse_args().side else measure()
