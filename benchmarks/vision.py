"""CLIP and ViT forward, against stock `transformers` (its SDPA attention), at equal precision.

    python -m benchmarks.vision [--precision bf16] [--size base] [--batch 8]

Random weights, saved by stock `transformers` and read by both, so that the numbers can be compared; nothing is
downloaded. ViT tells classes; CLIP gives the logits of as many pictures as texts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import Precision, interleave, report

SECONDS = 2.0
"""Of each side's turn."""
TARGET = 1.2


@dataclass(frozen=True)
class Size:
    """What is built: settings of the tower of pictures, and of CLIP's of texts."""

    image: dict[str, int]
    text: dict[str, int]
    projection: int


def tower(dim: int, layers: int, **more: int) -> dict[str, int]:
    """Settings of a tower whose heads are 64 wide."""
    sizes = {"hidden_size": dim, "num_hidden_layers": layers, "num_attention_heads": dim // 64}
    return sizes | {"intermediate_size": 4 * dim} | more


SIZES = {
    "base": Size(tower(768, 12, image_size=224, patch_size=32), tower(512, 12), 512),
    "small": Size(tower(192, 6, image_size=96, patch_size=12), tower(192, 6), 128),
    "tiny": Size(tower(64, 2, image_size=32, patch_size=16), tower(64, 2), 16),
}
"""`base` is ViT-B/32; `tiny` only shows that the script runs."""
END = 49407


def stock(kind: str, size: Size) -> Any:
    """A stock model of random weights."""
    import torch
    import transformers as hf

    torch.manual_seed(0)
    if kind == "vit":
        return hf.ViTForImageClassification(hf.ViTConfig(**size.image, num_labels=1000)).eval()
    return hf.CLIPModel(
        hf.CLIPConfig(text_config=size.text, vision_config=size.image, projection_dim=size.projection)
    ).eval()


def calls(kind: str, size: Size, batch: int, precision: Precision) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Ours and theirs, of the same weights and inputs; each gives its logits."""
    import torch

    from sensorium.families.senses import read_senses

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    theirs = stock(kind, size)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(Path(folder))
        loaded = read_senses(folder, dtype=dtype)
    theirs = theirs.to(dtype)
    side = size.image["image_size"]
    pictures = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(1)).to(dtype)
    if kind == "vit":
        encoder = loaded.encoder
        return lambda: encoder.class_logits(encoder(pictures)), lambda: theirs(pictures).logits
    aligned = loaded.aligned
    ids = torch.randint(1000, 40000, (batch, 16), generator=torch.Generator().manual_seed(2))
    ids[:, -1] = END

    def ours() -> Any:
        return aligned.logits(aligned.embed("image", pictures), aligned.embed("text", ids))

    return ours, lambda: theirs(input_ids=ids, pixel_values=pictures).logits_per_image


def rate(call: Callable[[], Any], batch: int, seconds: float) -> float:
    """Pictures a second."""
    import torch

    with torch.inference_mode():
        call()
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            call()
            count += batch
        return count / (time.perf_counter() - start)


def measure(kind: str, name: str, batch: int, precision: Precision, *, seconds: float, rounds: int) -> None:
    """Compare the logits of both, then time them in turn."""
    import torch

    ours, theirs = calls(kind, SIZES[name], batch, precision)
    with torch.inference_mode():
        apart = (ours().float() - theirs().float()).abs().max().item()
    comparison = interleave(lambda: rate(ours, batch, seconds), lambda: rate(theirs, batch, seconds), rounds=rounds)
    bound = 1e-4 if precision == "fp32" else 0.25
    verdict = "the same" if apart <= bound else "**not the same**"
    report(
        f"{'ViT' if kind == 'vit' else 'CLIP'} {name} forward, batch {batch}, {precision}",
        peers={"transformers, SDPA": comparison},
        unit="pictures/s",
        targets=[TARGET],
        notes=[f"the logits of both are {verdict}, at most {apart:.1e} apart"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--size", choices=SIZES, action="append")
    parser.add_argument("--model", choices=["vit", "clip"], action="append")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for kind in given.model or ("vit", "clip"):
        for name in given.size or ("small", "base"):
            for batch in given.batch or (1, 8):
                measure(kind, name, batch, given.precision, seconds=given.seconds, rounds=given.rounds)


if __name__ == "__main__":
    main()
