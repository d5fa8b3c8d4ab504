"""Files to features: pictures against `transformers` image processors, sounds against `WhisperFeatureExtractor`.

    python -m benchmarks.features

Pictures are JPEG and PNG files of mixed sizes, textured as photographs are, from the disk to the batch of pixels;
what is compared is decoding and features together, since that is what a user waits for. The processors are timed with
their Pillow back-end and, where torchvision is installed, with that one too, whose numbers are a grey level off
Pillow's in a few pixels of a thousand. They decode one picture after another; ours decodes in as many threads as
PyTorch uses, and the notes say what it does in one.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.common import ROUNDS, interleave, report
from sensorium.modalities.mel import MelSpec, log_mel
from sensorium.modalities.pixels import ImageSpec, image_batch

COUNT, BATCH = 200, 32
CLIPS = 32
EDGES = ((480, 640), (640, 480), (333, 500), (768, 1024), (224, 224), (600, 800), (427, 640), (1080, 1440))
RATE = 16_000


def textured(height: int, width: int, rng: np.random.Generator) -> Image.Image:
    """Blotches of five sizes, finer ones fainter, as photographs have them."""
    pixels = np.zeros((height, width, 3), np.float32)
    for step in (128, 48, 16, 6, 2):
        coarse = rng.integers(0, 256, (height // step + 2, width // step + 2, 3), dtype=np.uint8)
        fine = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
        pixels += (fine - np.float32(127.5)) * (step / 128) ** 0.5
    return Image.fromarray(np.clip(pixels * 0.6 + 127.5, 0, 255).astype(np.uint8))


def picture_files(folder: Path, count: int) -> list[Path]:
    """JPEG and PNG by turns."""
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        height, width = EDGES[index // 2 % len(EDGES)]
        path = folder / f"{index:04d}.{('jpg', 'png')[index % 2]}"
        textured(height, width, rng).save(path, quality=90)
        paths.append(path)
    return paths


def processors() -> Iterator[tuple[str, Any]]:
    """Each stock processor in each back-end that is installed."""
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    yield "CLIPImageProcessor", CLIPImageProcessorPil()
    yield "ViTImageProcessor", ViTImageProcessorPil()
    if importlib.util.find_spec("torchvision"):
        from transformers import CLIPImageProcessor, ViTImageProcessor

        yield "CLIPImageProcessor", CLIPImageProcessor()
        yield "ViTImageProcessor", ViTImageProcessor()


def timed(work: Callable[[], object], count: int) -> float:
    """Things a second."""
    start = time.perf_counter()
    work()
    return count / (time.perf_counter() - start)


def pictures(count: int, rounds: int) -> None:
    """Compare with every processor, each in turns of its own."""
    with tempfile.TemporaryDirectory() as folder:
        paths = picture_files(Path(folder), count)
        batches = [paths[start : start + BATCH] for start in range(0, count, BATCH)]
        for name, processor in processors():
            spec = ImageSpec.from_dict(processor.to_dict())

            def theirs(batch: list[Path], processor: Any = processor) -> torch.Tensor:
                images = []
                for path in batch:
                    with Image.open(path) as image:
                        images.append(image.convert("RGB"))
                return processor(images, return_tensors="pt").pixel_values

            def ours(batch: list[Path], threads: int | None = None, spec: ImageSpec = spec) -> torch.Tensor:
                return image_batch(batch, spec, threads=threads)

            apart = (ours(batches[0]) - theirs(batches[0])).abs()
            comparison = interleave(
                lambda ours=ours: timed(lambda: [ours(batch) for batch in batches], count),
                lambda theirs=theirs: timed(lambda: [theirs(batch) for batch in batches], count),
                rounds=rounds,
            )
            one = timed(lambda ours=ours: [ours(batch, 1) for batch in batches], count)
            report(
                f"Decoding and pixels of {count:,} JPEG and PNG files, {name} by {processor.backend}",
                peers={f"transformers {name}, {processor.backend}": comparison},
                unit="pictures/s",
                targets=[1.5],
                notes=[
                    f"largest difference {apart.max():.1e}; {(apart > 1e-4).float().mean():.2%} of values differ by "
                    "more than 1e-4",
                    f"ours in one thread: {one:,.1f} pictures/s",
                ],
            )


def sounds(count: int, rounds: int) -> None:
    """Compare at lengths of everyday clips, and at full windows, where there is no silence to leave out."""
    from transformers import WhisperFeatureExtractor

    generator = torch.Generator().manual_seed(0)
    for title, least, most in (("1 to 15 s", 1.0, 15.0), ("30 s", 30.0, 30.0)):
        seconds = torch.linspace(least, most, count).tolist()
        clips = [torch.randn(int(length * RATE), generator=generator) * 0.1 for length in seconds]
        arrays = [clip.numpy() for clip in clips]
        for mels in (80, 128):
            extractor, spec = WhisperFeatureExtractor(feature_size=mels), MelSpec(mels=mels)

            def theirs(extractor: Any = extractor, arrays: list[Any] = arrays) -> torch.Tensor:
                return extractor(arrays, sampling_rate=RATE, return_tensors="pt").input_features

            def ours(spec: MelSpec = spec, clips: list[torch.Tensor] = clips) -> torch.Tensor:
                return log_mel(clips, spec)

            apart = float((ours() - theirs()).abs().max())
            comparison = interleave(
                lambda ours=ours: timed(ours, count), lambda theirs=theirs: timed(theirs, count), rounds=rounds
            )
            report(
                f"Log-mel of {count:,} sounds of {title}, {mels} bands",
                peers={"WhisperFeatureExtractor (torch)": comparison},
                unit="sounds/s",
                targets=[2.0],
                notes=[f"largest difference {apart:.1e}"],
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    pictures(given.count, given.rounds)
    sounds(given.clips, given.rounds)
