"""The models that come with the package, by their names."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from sensorium.errors import CheckpointError

DEFAULTS = {
    "default": ("encoder", "decoder"),
    "default:encoder": ("encoder",),
    "default:decoder": ("decoder",),
    "default:translate": ("translate",),
    "default:answer": ("answer",),
    "default:align": ("align",),
}
"""Name → its parts: `default` is two models with one tokenizer."""
ALIGNED = ("default:align",)
"""Those that are no models of text alone."""


def default_folder(part: str) -> Path:
    """Where a bundled model lies.

    Raises:
        CheckpointError: it is not part of this installation.
    """
    folder = Path(str(resources.files("sensorium"))) / "assets" / "default" / part
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"the bundled model {part!r} is not part of this installation",
            where=str(folder),
            fix="Install the released package, or train a model and load its folder",
        )
    return folder
