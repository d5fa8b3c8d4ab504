"""The end of a run that gave a language model eyes: a model folder, what it says of itself, and its fixtures.

All is written to a folder aside, then moved into place, config.json last: before that nobody takes the folder for a
model.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from sensorium import __version__
from sensorium.core.eyes import seeing_parameters
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.families.hf_config import HFConfig
from sensorium.families.seeing import write_seeing
from sensorium.files import disk_errors, write_json, write_text
from sensorium.inference.fixtures import write_fixtures
from sensorium.inference.native_eyes import NOTES, PROMPT
from sensorium.training.caption_parts import IMAGE_TOKEN, PLAIN_TEMPLATE, LearningEyes
from sensorium.training.caption_recipe import CaptionRecipe
from sensorium.training.lora import merge_lora
from sensorium.training.special import special_ids
from sensorium.training.state import Progress


def export_eyes(
    out: Path,
    model: LearningEyes,
    tokenizer: Tokenizer,
    recipe: CaptionRecipe,
    metrics: dict[str, float],
    at: Progress,
    *,
    preprocessor: HFConfig,
    told: dict[str, Any],
) -> None:
    """Write the model of a finished run; what LoRA changed is merged into the weights first.

    Args:
        out: the folder of the run.
        model: what to write.
        tokenizer: has the placeholder.
        recipe: how it learned.
        metrics: how well.
        at: how long.
        preprocessor: how pictures are made ready.
        told: of what it was made.

    Raises:
        DiskError: the disk is full or may not be written.
    """
    merge_lora(model)
    part = out / "run" / "export.part"
    with disk_errors(out):
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            write_seeing(
                part, model, image_token=IMAGE_TOKEN, special=special_ids(tokenizer), preprocessor=preprocessor
            )
            tokenizer.save(part, kind=None, context=model.config.text.stack.context, types=False)
            # Where stock processors look for it.
            write_text(part / "chat_template.jinja", tokenizer.chat_template or PLAIN_TEMPLATE)
            notes: dict[str, Any] = {
                "sensorium": __version__,
                "parameters": seeing_parameters(model.config),
                "recipe": recipe.to_dict(),
                "metrics": metrics,
                "run": {"steps": at.step, "tokens": at.tokens, "seconds": round(at.seconds, 1)},
                "corpus": told,
            }
            if not recipe.eyes.chat:  # what chats is asked in its own words
                notes[PROMPT] = recipe.eyes.prompt
            write_json(part / NOTES, notes)
            write_text(part / "README.md", _card(out.resolve().name, model, notes))
            write_fixtures(part)
            (out / "config.json").unlink(missing_ok=True)
            for name in sorted((path.name for path in part.iterdir()), key=lambda name: name == "config.json"):
                os.replace(part / name, out / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _card(name: str, model: LearningEyes, notes: dict[str, Any]) -> str:
    """README.md of the folder."""
    corpus, run, config = notes["corpus"], notes["run"], model.config
    numbers = "\n".join(f"| {key.replace('_', ' ')} | {value:.4f} |" for key, value in notes["metrics"].items())
    stock = (
        "Stock `transformers` opens the folder as `LlavaForConditionalGeneration`."
        if config.resampler is None
        else "Its projector is a resampler, which stock `transformers` does not have: Sensorium opens it."
    )
    return f"""---
library_name: transformers
pipeline_tag: image-text-to-text
---

# {name}

A language model ({corpus["language"]}) that sees by a tower of pictures ({corpus["vision"]}): {notes["parameters"]:,}
parameters, {config.features} tokens a picture. Sensorium {notes["sensorium"]} trained what joins them on
{corpus["rows"]["train"]:,} pairs in {run["steps"]:,} steps.

## Use

```python
import sensorium as sm
sm.load("{name}").caption("photo.png").text
```

{stock}

## Measured on {corpus["rows"]["validation"]:,} pairs of pictures that were held out

| | |
|---|---|
{numbers}
"""
