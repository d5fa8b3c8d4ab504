"""Fusing pictures and sounds: against a late fusion that one writes with stock `transformers` and its `Trainer`.

    python -m benchmarks.fuse [--minutes 3]

Both train the same two Vision Transformers (4 × 128: pictures of 32 pixels, log-mel spectrograms) and a small network
over their class vectors, from scratch, on the same rows of `benchmarks.data_senses` (digits by hand, and spoken), and
are measured on the same rows of other voices. The peer reads all files beforehand by stock processors, as
`datasets.map` would, and is measured after every epoch. Counted is the time of training steps alone (of ours with the
making of batches, of the peer without); reading is told beside it.
AutoGluon-Multimodal takes no sound, and Ludwig no clips; neither installs beside this PyTorch without its CUDA build.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.common import ROUNDS, Comparison, machine, side
from benchmarks.data_senses import WORDS, table
from sensorium.data.tables.table import Table, read_table
from sensorium.fusion.splits import split_rows

SETTINGS = (
    "picture.size=32", "picture.patch=8", "sound.seconds=0.96", "run.epochs=1000", "run.eval_every=20",
    "run.precision=fp32", "optim.lr=1e-3",
)  # fmt: skip
ROWS, BATCH = 3000, 32
FRAMES, MELS = 96, 64


def split() -> tuple[Table, Table]:
    """Rows to learn from, and those of other voices."""
    whole = read_table(table("digits"))
    found = split_rows(range(whole.rows), groups=whole.column("voice"), validation=0.25, seed=0)
    return whole.take(found.train), whole.take(found.validation)


def ours(minutes: float) -> dict[str, Any]:
    """The course of `sensorium.fuse`, and how fast its model predicts."""
    import sensorium as sm
    from sensorium.tasks.fused import FusedHandle

    train, validation = split()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        start = time.perf_counter()
        run = sm.fuse(
            train, label="digit", columns={"voice": "ignore"}, validation=validation, out=out,
            overrides=[*SETTINGS, f"run.max_minutes={minutes}"], show_progress=False,
        )  # fmt: skip
        around = time.perf_counter() - start - run.seconds
        lines = (out / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        handle = FusedHandle.open(out)
        rates = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            told = handle.predict_all(validation, show_progress=False)
            rates.append(validation.rows / (time.perf_counter() - begin))
    right = [one.label == truth for one, truth in zip(told.rows, validation.column("digit"), strict=True)]
    course = [(row["seconds"], row["accuracy"]) for row in rows if row["split"] == "validation"]
    return {"course": course, "around": around, "rate": statistics.median(rates), "right": right}


class LateFusion(nn.Module):
    """Two stock ViTs, their class vectors side by side, a small network."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import ViTConfig, ViTModel

        size = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 256,
                "hidden_dropout_prob": 0.1, "attn_implementation": "sdpa"}  # fmt: skip
        self.image = ViTModel(ViTConfig(**size, image_size=32, patch_size=8), add_pooling_layer=False)
        sound = ViTConfig(**size, image_size=(MELS, FRAMES), patch_size=16, num_channels=1)
        self.sound = ViTModel(sound, add_pooling_layer=False)
        self.head = nn.Sequential(nn.Linear(256, 128), nn.GELU(), nn.Dropout(0.1), nn.Linear(128, len(WORDS)))

    def forward(
        self, pixel_values: torch.Tensor, mel: torch.Tensor, labels: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        seen = self.image(pixel_values).last_hidden_state[:, 0]
        heard = self.sound(mel).last_hidden_state[:, 0]
        logits = self.head(torch.cat((seen, heard), dim=1))
        loss = {} if labels is None else {"loss": nn.functional.cross_entropy(logits, labels)}
        return {**loss, "logits": logits}


class Files:
    """Stock processors over the files of a table."""

    def __init__(self) -> None:
        from transformers import ViTImageProcessor, WhisperFeatureExtractor

        self.pictures = ViTImageProcessor(size={"height": 32, "width": 32})
        self.sounds = WhisperFeatureExtractor(feature_size=MELS, chunk_length=1)

    def read(self, rows: Table, places: range) -> dict[str, torch.Tensor]:
        """Pixels and spectrograms of some rows."""
        import soundfile
        import soxr
        from PIL import Image

        images = [Image.open(rows.root / rows.column("image")[place]).convert("RGB") for place in places]
        sounds = []
        for place in places:
            sound, rate = soundfile.read(rows.root / rows.column("sound")[place], dtype="float32")
            sounds.append(soxr.resample(sound, rate, 16_000)[: 160 * FRAMES])
        mel = self.sounds(sounds, sampling_rate=16_000, return_tensors="pt").input_features[..., :FRAMES]
        return {"pixel_values": self.pictures(images, return_tensors="pt").pixel_values, "mel": mel[:, None]}


def theirs(minutes: float) -> dict[str, Any]:
    """The course of the `Trainer`, and how fast its model predicts."""
    from transformers import Trainer, TrainerCallback, TrainingArguments, default_data_collator

    logging.disable(logging.WARNING)
    train, validation = split()
    files = Files()
    start = time.perf_counter()
    known = {split: _read(files, rows) for split, rows in (("train", train), ("validation", validation))}
    around = time.perf_counter() - start
    labels = {word: number for number, word in enumerate(WORDS)}
    truth = torch.tensor([labels[word] for word in validation.column("digit")])
    torch.manual_seed(0)
    model = LateFusion()
    dataset = [
        {"pixel_values": known["train"]["pixel_values"][row], "mel": known["train"]["mel"][row], "labels": labels[word]}
        for row, word in enumerate(train.column("digit"))
    ]
    course: list[tuple[float, float]] = []

    def predict(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        model.eval()
        with torch.inference_mode():
            parts = [model(pixel_values=a, mel=b)["logits"] for a, b in
                     zip(inputs["pixel_values"].split(64), inputs["mel"].split(64), strict=True)]  # fmt: skip
        return torch.cat(parts)

    class Watch(TrainerCallback):
        def __init__(self) -> None:
            self.spent, self.began = 0.0, 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.spent += time.perf_counter() - self.began
            control.should_training_stop = self.spent > 60 * minutes

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            course.append((self.spent, float((predict(known["validation"]).argmax(1) == truth).float().mean())))
            model.train()

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=BATCH, num_train_epochs=1000, learning_rate=1e-3,
            warmup_steps=50, lr_scheduler_type="constant_with_warmup", weight_decay=0.05, adam_beta2=0.99,
            optim="adamw_torch_fused", logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True,
            use_cpu=True, dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(
            model=model, args=arguments, train_dataset=dataset, data_collator=default_data_collator, callbacks=[Watch()]
        )
        trainer.train()
    rates = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        told = predict(_read(files, validation)).argmax(1)
        rates.append(validation.rows / (time.perf_counter() - begin))
    return {"course": course, "around": around, "rate": statistics.median(rates), "right": (told == truth).tolist()}


def _read(files: Files, rows: Table) -> dict[str, torch.Tensor]:
    parts = [files.read(rows, range(start, min(start + 64, rows.rows))) for start in range(0, rows.rows, 64)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def reached(course: list[tuple[float, float]], accuracy: float) -> float:
    """Seconds of training until an accuracy."""
    return next((seconds for seconds, found in course if found >= accuracy), float("inf"))


def main() -> None:
    """Both sides, one after the other, each in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", choices=["ours", "theirs"])
    parser.add_argument("--minutes", type=float, default=3.0)
    given = parser.parse_args()
    if given.side is not None:
        print(json.dumps({"ours": ours, "theirs": theirs}[given.side](given.minutes)))
        return
    from sensorium.fusion.statistics import bootstrap_difference

    found: dict[str, Any] = {
        name: side("benchmarks.fuse", name, "--minutes", str(given.minutes)) for name in ("ours", "theirs")
    }
    mine, peer = found["ours"], found["theirs"]
    wanted = min(max(accuracy for _, accuracy in one["course"]) for one in (mine, peer))
    both = reached(mine["course"], wanted), reached(peer["course"], wanted)
    right = {name: np.array(one["right"], np.float64) for name, one in found.items()}
    gain = bootstrap_difference(right["ours"], right["theirs"])
    rate = Comparison((mine["rate"],), (peer["rate"],))
    print(f"### Fusing pictures and sounds, 2 × 4 × 128, {given.minutes:g} minutes of training\n")
    print("| | Sensorium | stock ViTs, `Trainer` | ratio | claimed |\n|---|---|---|---|---|")
    print(f"| seconds of training to an accuracy of {wanted:.3f} | {both[0]:.0f} | {both[1]:.0f} | "
          f"**{both[0] / both[1]:.2f}×** | ≤ 0.5× |")  # fmt: skip
    print(f"| rows predicted a second, from files | {mine['rate']:,.0f} | {peer['rate']:,.0f} | {rate.ratio} | ≥ 2× |")
    print(f"| accuracy in the end | {right['ours'].mean():.3f} | {right['theirs'].mean():.3f} | "
          f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}) | not lower |")  # fmt: skip
    print(
        f"| seconds around the training: reading, fitting, writing | {mine['around']:.0f} | {peer['around']:.0f} | | |"
    )
    print(f"\n{machine()}\n", flush=True)


if __name__ == "__main__":
    main()
