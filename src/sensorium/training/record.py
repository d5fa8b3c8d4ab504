"""What a run leaves to look at: metrics.jsonl, a loss curve, TensorBoard events, a line beside the progress bar."""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import torch

from sensorium.files import write_text

Row = dict[str, float | int | str]


class Record:
    """Metrics of a run.

    Args:
        folder: where.
        step: rows after this step are of a run that was interrupted; they are dropped.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        self._path = folder / "metrics.jsonl"
        self.rows = [row for row in read_metrics(self._path) if int(row["step"]) <= step]
        write_text(self._path, "".join(json.dumps(row) + "\n" for row in self.rows))
        self._file = self._path.open("a", encoding="utf-8")
        self._board = _tensorboard(folder / "tensorboard", step)

    def write(self, row: Row) -> None:
        """Add a row; its numbers also go to TensorBoard."""
        self.rows.append(row)
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()
        if self._board is not None:
            for key, value in row.items():
                if isinstance(value, float):
                    self._board.add_scalar(f"{row['split']}/{key}", value, int(row["step"]))

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(path: Path) -> list[Row]:
    """The rows of a metrics.jsonl; a line that is none (a last one cut short by a crash, a damaged one) is left out."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return [row for line in lines if (row := _row(line)) is not None]


def _row(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    numbers = ("step", "tokens", "loss")
    whole = isinstance(row, dict) and isinstance(row.get("split"), str)
    return row if whole and all(type(row.get(key)) in (int, float) for key in numbers) else None


def _tensorboard(folder: Path, step: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step + 1)


def plot_loss(rows: list[Row], path: Path) -> None:
    """Draw training and validation loss over tokens."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 10}):
        figure = Figure(figsize=(7, 4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for split, style in (("train", {"alpha": 0.6, "lw": 1.2}), ("validation", {"lw": 2, "marker": "o", "ms": 4})):
            points = [(float(row["tokens"]), float(row["loss"])) for row in rows if row["split"] == split]
            if points:
                axes.plot(*zip(*points, strict=True), label=split, **style)
        axes.set_xlabel("tokens")
        axes.set_ylabel("loss (nats)")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        figure.savefig(path, dpi=120)


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large matrix product here, measured in about a tenth of a second."""
    size = 4096 if device.type == "cuda" else 768
    # Of a generator of its own: the run's draws must not depend on whether this was measured.
    generator = torch.Generator(device).manual_seed(0)
    a = torch.randn(size, size, device=device, generator=generator).to(dtype)
    a @ a
    best = float("inf")
    for _ in range(3):
        _synchronize(device)
        start = time.perf_counter()
        a @ a
        _synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2.0 * size**3 / best


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
