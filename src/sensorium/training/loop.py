"""The one training loop: objective, data, model and optimisers are arguments."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sensorium.errors import TrainingError
from sensorium.objectives.feed import Feed
from sensorium.objectives.objective import AnyObjective, Split
from sensorium.objectives.order import Place
from sensorium.objectives.stream import Stream, one_pass
from sensorium.progress import Advance, progress
from sensorium.training.memory import keep_freed_memory
from sensorium.training.optim import learning_rate, set_rates
from sensorium.training.record import Record, Row, peak_flops, plot_loss
from sensorium.training.settings import Settings
from sensorium.training.state import Progress, newest_state, save_state

LOG_EVERY = 10


class TrainingInterruptedError(TrainingError):
    """Stopped by a signal; the state is saved."""

    exit_code = 130


@dataclass
class Loop:
    """A run from wherever `at` says to its end.

    Args:
        recipe: how long, how much at a time.
        model: in place.
        optimizers: of the model's parameters.
        objective: what is learned.
        train: what it is learned from.
        validation: what was held out; may be empty.
        folder: for metrics and states.
        device: where the model is.
        at: where the run stands.
    """

    recipe: Settings
    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    objective: AnyObjective
    train: Split
    validation: Split
    folder: Path
    device: torch.device
    at: Progress

    def run(self, *, show_progress: bool | None = None) -> dict[str, float]:
        """Train to the end; the last validation metrics (training loss, where there is no validation text).

        Raises:
            TrainingError: the loss or its gradient is not finite.
            TrainingInterruptedError: Ctrl-C or SIGTERM; the state is saved.
            DiskError: the disk is full.
        """
        recipe = self.recipe
        record = Record(self.folder, step=self.at.step)
        metrics: dict[str, float] = {}
        keep_freed_memory()
        with (
            _stop_signals() as stop,
            Feed(self._stream(), self.device) as feed,
            progress(f"training ({recipe.title})", 1.0, done=self.share(), show=show_progress) as advance,
        ):
            meter = _Meter(self)
            try:
                while self.share() < 1.0:
                    before = self.share()
                    loss = self._step(feed)
                    if self.at.step % LOG_EVERY == 0 or self.share() >= 1.0:
                        meter.report(loss, record, advance)
                    advance(self.share() - before, "")
                    ended = self.share() >= 1.0
                    if ended or self.at.step % recipe.run.eval_every == 0:
                        metrics = self._evaluate(record) or {"loss": loss}
                    if ended or stop.is_set() or self.at.step % recipe.run.save_every == 0:
                        save_state(self.folder, self.at, self.model, self.optimizers, self.device)
                    if stop.is_set() and not ended:
                        raise TrainingInterruptedError(
                            f"stopped at step {self.at.step}; the state is saved",
                            where=str(self.folder.parent),
                            fix="Go on with --resume",
                        )
            finally:
                record.close()
                if record.rows:
                    plot_loss(record.rows, self.folder / "loss.png")
        return metrics or self._last(record)

    def share(self) -> float:
        """How much of the run is done, 0 to 1: by steps, epochs or time, whichever bound is nearest."""
        run = self.recipe.run
        by_time = self.at.seconds / (60 * run.max_minutes) if run.max_minutes else 0.0
        by_steps = self.at.step / run.steps if run.steps else 0.0
        by_epochs = min(self.at.passed, default=0.0) / run.epochs if run.epochs else 0.0
        return min(1.0, max(by_steps, by_epochs, by_time))

    def _stream(self) -> Stream[Any, Any, Any]:
        places = [Place(*place) for place in self.at.places]
        return Stream(self.objective, self.train, self.recipe.budget, self.recipe.run.seed, places=places)

    def _step(self, feed: Feed[Any]) -> float:
        """One optimiser step; its mean loss."""
        start = time.perf_counter()
        recipe = self.recipe
        self.model.train()
        set_rates(self.optimizers, learning_rate(recipe.schedule, step=self.at.step, progress=self.share()))
        taken = [feed.take() for _ in range(recipe.accumulate)]
        loss, shown = self._gradients([one.batch for one in taken])
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        values = torch.stack([loss.to(norm), shown.to(norm), norm]).tolist()  # together: a GPU is waited for once
        self._check("the loss", values[0], taken[0].where)
        self._check("the norm of the gradient", values[2], taken[0].where)
        if recipe.optim.clip:
            torch.nn.utils.clip_grads_with_norm_(self.model.parameters(), recipe.optim.clip, norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.at.step += 1
        self.at.tokens += sum(one.batch.tokens for one in taken)
        self.at.seconds += time.perf_counter() - start
        self.at.places, self.at.passed = [list(place) for place in taken[-1].places], taken[-1].passed
        return float(values[1])

    def _gradients(self, batches: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Add up the gradients of a step's batches; the mean loss that they are of, and the one to show, which
        validation has too.

        Each pass weighs as much as it predicts, so that many small ones are one large one.
        """
        predicted = sum(len(batch.targets) for batch in batches)
        total = shown = torch.zeros((), device=self.device)
        for batch in batches:
            share = len(batch.targets) / predicted if predicted else 1 / len(batches)
            with self.autocast():
                found = self.objective.loss(self.model, batch)
                loss = found.total * share
            loss.backward()  # type: ignore[no-untyped-call]
            total = total + loss.detach()
            shown = shown + found.parts["loss"].detach() * share
        return total, shown

    def _check(self, what: str, value: float, place: str) -> None:
        """Stop before a step that would spoil the weights."""
        if math.isfinite(value):
            return
        state = newest_state(self.folder)
        then = f"--resume goes on from {state.name}" if state else "no state is saved yet: --resume starts anew"
        raise TrainingError(
            f"{what} is {value} at step {self.at.step + 1} ({place})",
            where=str(self.folder),
            fix=f"Lower optim.lr by --set, or look at that batch; {then}",
        )

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where the recipe and the hardware say so."""
        if precision(self.recipe, self.device) == torch.bfloat16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _evaluate(self, record: Record) -> dict[str, float]:
        if not len(self.validation):
            return {}
        self.model.eval()
        held_out = self.validation.head(self.recipe.run.eval_tokens)
        with self.autocast():
            batches = one_pass(
                self.objective, held_out, tokens=self.recipe.budget, seed=self.recipe.run.seed, device=self.device
            )
            metrics = self.objective.evaluate(self.model, batches, held_out.n_bytes)
        if metrics:
            at = {"step": self.at.step, "tokens": self.at.tokens, "seconds": self.at.seconds}
            record.write({**at, "split": "validation", **metrics})
        return metrics

    @staticmethod
    def _last(record: Record) -> dict[str, float]:
        """The last metrics of a run that was finished before."""
        for split in ("validation", "train"):
            for row in reversed(record.rows):
                if row["split"] == split:
                    return {key: value for key, value in row.items() if isinstance(value, float) and key != "seconds"}
        return {}


class _Meter:
    """Speed and utilisation between two reports."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._flops = loop.objective.flops(loop.model.config)
        self._peak = peak_flops(loop.device, precision(loop.recipe, loop.device))
        self._seen = loop.at.tokens, loop.at.seconds

    def report(self, loss: float, record: Record, advance: Advance) -> None:
        at, (tokens, seconds) = self._loop.at, self._seen
        speed = (at.tokens - tokens) / max(at.seconds - seconds, 1e-9)
        self._seen = at.tokens, at.seconds
        used = speed * self._flops / self._peak
        row: Row = {
            "step": at.step, "tokens": at.tokens, "seconds": at.seconds, "split": "train", "loss": loss,
            "lr": float(self._loop.optimizers[0].param_groups[0]["lr"]), "tokens_per_second": speed,
            "utilisation": used,
        }  # fmt: skip
        record.write(row)
        advance(0, f"step {at.step} · loss {loss:.3f} · {speed:,.0f} tokens/s · {used:.0%} of peak")


def precision(recipe: Settings, device: torch.device) -> torch.dtype:
    """bf16 if the recipe asks for it, or leaves it open and the hardware computes in it; else fp32."""
    if recipe.run.precision == "auto":
        native = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bf16()
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if recipe.run.precision == "bf16" else torch.float32


def _cpu_has_bf16() -> bool:
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check is not None)


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second one of them ends the process as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def handle(number: int, frame: Any) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    try:
        for number in numbers:
            signal.signal(number, handle)
        yield stop
    finally:
        for number in numbers:
            signal.signal(number, before[number])
