"""Stock `transformers` in its `Trainer`, at its best on a CPU, for the training benchmarks.

Its best means: SDPA attention, fused AdamW, no logging or saving, batches collated ahead by nothing (a worker
process would take one of few cores), dynamic padding, and examples grouped by length where they differ.
"""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    PreTrainedModel,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.common import Precision

_IGNORED = -100
"""The label of what is no target, in `transformers`."""


class _Clock(TrainerCallback):
    """Time between the end of the warm-up steps and the last step."""

    def __init__(self, warmup: int, last: int) -> None:
        self.warmup, self.last, self.start, self.end, self.steps = warmup, last, 0.0, 0.0, 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.steps += 1
        if self.steps in (self.warmup, self.last) and torch.cuda.is_available():
            torch.cuda.synchronize()
        if self.steps == self.warmup:
            self.start = time.perf_counter()
        self.end = time.perf_counter()


def tokens_per_second(
    model: PreTrainedModel,
    dataset: Any,
    collator: Any,
    *,
    batch: int,
    steps: int,
    warmup: int,
    precision: Precision,
    by_length: bool = False,
    smoothing: float = 0.0,
    counted: str = "input_ids",
    compiled: bool = False,
) -> float:
    """Real tokens (padding not counted) a second over the timed steps: those of a column of the data set.

    On a GPU batches are collated in worker processes and pinned, and the last step is waited for.
    """
    logging.disable(logging.WARNING)
    on_gpu = torch.cuda.is_available()
    two_stacks = bool(model.config.is_encoder_decoder)
    make, settings = (Seq2SeqTrainer, Seq2SeqTrainingArguments) if two_stacks else (Trainer, TrainingArguments)
    sizes: list[torch.Tensor] = []

    class Counting(make):  # type: ignore[misc, valid-type]
        """Counts what it is given where it lies, as batches are collated in other processes."""

        def training_step(self, model: Any, inputs: dict[str, torch.Tensor], *rest: Any, **more: Any) -> torch.Tensor:
            real = inputs["labels"] != _IGNORED if counted == "labels" else inputs.get("attention_mask")
            sizes.append(torch.tensor(inputs[counted].numel()) if real is None else real.sum())
            return super().training_step(model, inputs, *rest, **more)

    with tempfile.TemporaryDirectory() as folder:
        arguments = settings(
            output_dir=folder,
            per_device_train_batch_size=batch,
            max_steps=steps + warmup,
            optim="adamw_torch_fused",
            learning_rate=5e-4,
            train_sampling_strategy="group_by_length" if by_length else "random",
            label_smoothing_factor=smoothing,
            bf16=precision == "bf16",
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            torch_compile=compiled,
            tf32=on_gpu or None,
            dataloader_num_workers=4 if on_gpu else 0,
            dataloader_pin_memory=on_gpu,
        )
        clock = _Clock(warmup, steps + warmup)
        trainer = Counting(
            model=model, args=arguments, train_dataset=dataset, data_collator=collator, callbacks=[clock]
        )
        trainer.train()
    return sum(int(size) for size in sizes[warmup:]) / (clock.end - clock.start)


class _Budget(TrainerCallback):
    """The share of the time that is gone, which decides the rate and the end."""

    def __init__(self, minutes: float) -> None:
        self.seconds, self.start = 60 * minutes, 0.0

    def share(self) -> float:
        return (time.perf_counter() - self.start) / self.seconds if self.start else 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = self.share() >= 1.0


def timed_trainer(
    model: PreTrainedModel,
    dataset: Any,
    collator: Any,
    *,
    folder: Path,
    batch: int,
    minutes: float,
    rate: float,
    warmup: float,
    weight_decay: float = 0.0,
    smoothing: float = 0.0,
) -> Trainer:
    """A `Trainer` that trains for so long: AdamW, linear warm-up and decay over the time, batches grouped by length."""
    two_stacks = bool(model.config.is_encoder_decoder)
    base, settings = (Seq2SeqTrainer, Seq2SeqTrainingArguments) if two_stacks else (Trainer, TrainingArguments)
    budget = _Budget(minutes)

    class Timed(base):
        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            def factor(_: int) -> float:
                share = budget.share()
                return min(max(share, 0.01 * warmup) / warmup, max(0.0, 1 - share) / (1 - warmup))

            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, factor)
            return self.lr_scheduler

    arguments = settings(
        output_dir=folder,
        per_device_train_batch_size=batch,
        max_steps=10**6,
        optim="adamw_torch_fused",
        learning_rate=rate,
        adam_beta2=0.98,
        weight_decay=weight_decay,
        train_sampling_strategy="group_by_length",
        label_smoothing_factor=smoothing,
        logging_steps=200,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
    )
    return Timed(model=model, args=arguments, train_dataset=dataset, data_collator=collator, callbacks=[budget])
