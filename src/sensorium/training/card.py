"""The model card of a run: what the model is, how it is used, what it learned from and how well."""

from __future__ import annotations

from typing import Any

from sensorium.core.config import EncoderDecoderConfig
from sensorium.core.model import AnyConfig
from sensorium.families.checkpoint import family_for

_USES = {
    "masked": ("fill-mask", 'fill_mask("This is a [MASK] example.")'),
    "causal": ("text-generation", 'generate("Once upon a time")'),
    "seq2seq": ("translation", "translate(text)"),
    "span_corruption": ("text2text-generation", "generate(text)"),
    "infilling": ("text2text-generation", 'generate("This is a [MASK] example.")'),
    "questions": ("text2text-generation", 'answer(question, context=text, method="generate")'),
    "spans": ("question-answering", "answer(question, context=text)"),
    "classes": ("text-classification", "classify(text)"),
    "tags": ("token-classification", "tag(text)"),
}
"""By objective (a corpus of pairs may be of questions): the task, as Hugging Face calls it, and a call."""


def card(name: str, config: AnyConfig, facts: dict[str, Any]) -> str:
    """README.md of a model folder.

    Args:
        name: of the folder.
        config: the model's.
        facts: what its sensorium.json says.
    """
    recipe, corpus, run = facts["recipe"], facts["corpus"], facts["run"]
    by_context = corpus.get("held_out", {}).get("by") == "context"
    task, call = _USES["questions" if by_context else recipe["objective"]["kind"]]
    languages, call = _directions(corpus, call)
    validation = corpus["splits"]["validation"]
    numbers = "\n".join(f"| {key.replace('_', ' ')} | {value:.4f} |" for key, value in facts["metrics"].items())
    return f"""---
library_name: transformers
pipeline_tag: {task}
{languages}---

# {name}

{recipe["description"]}

{_shape(config, facts["parameters"])}, trained by Sensorium {facts["sensorium"]} with the
{recipe["objective"]["kind"]} objective on {run["tokens"]:,} tokens in {run["steps"]:,} steps.

## Use

```python
import sensorium as sm
sm.load("{name}").{call}
```

Stock `transformers` opens the folder too.

## Training

| setting | value |
|---|---|
| optimiser | {_settings(recipe["optim"])} |
| schedule | {_settings(recipe["schedule"])} |
| batch | {_settings(recipe["batch"])} |
| seed | {recipe["run"]["seed"]} |

## {"Validation" if _count(validation) else "Training loss"}

| metric | value |
|---|---|
{numbers}

Losses are in nats {_unit(recipe["objective"]["kind"])}. {_held_out(corpus)}

## Data

{_amount(corpus["splits"]["train"], corpus.get("examples", "documents"))}, corpus `{corpus["fingerprint"]}`.
What the model says reflects these texts; it was not tuned to be helpful or harmless.

{_mixture(corpus)}{_files(corpus)}
"""


def _shape(config: AnyConfig, parameters: int) -> str:
    """The model's kind and size in words."""
    two = isinstance(config, EncoderDecoderConfig)
    stack = config.decoder if isinstance(config, EncoderDecoderConfig) else config.stack
    layers = f"{len(stack.blocks)} layers"
    if isinstance(config, EncoderDecoderConfig):
        layers = f"{len(config.encoder.blocks)} and {len(stack.blocks)} layers"
    kind = "encoder-decoder" if two else "decoder" if stack.causal else "encoder"
    context = "" if stack.context is None else f", context {stack.context}"
    family = family_for(config).__name__.rpartition(".")[2]
    heads = stack.blocks[0].attention.n_heads
    return f"A {family} {kind} of {parameters:,} parameters ({layers}, width {stack.dim},\n{heads} heads{context})"


def _directions(corpus: dict[str, Any], call: str) -> tuple[str, str]:
    """The languages of a model of pairs, and a call that names two of them."""
    directions = corpus.get("directions")
    if not directions:
        return "", call
    codes = sorted({code for direction in directions for code in direction})
    source, target = directions[0]
    listed = "".join(f'- "{code}"\n' for code in codes)  # without quotes, no (Norwegian) is false
    if source != target:
        call = f'translate(text, source="{source}", target="{target}")'
    return f"language:\n{listed}", call


def _count(split: dict[str, Any]) -> int:
    return int(split["pairs"] if "pairs" in split else split["documents"])


def _unit(objective: str) -> str:
    units = {"spans": "a window", "classes": "a text", "tags": "a word", "seq2seq": "a token of the target"}
    return units.get(objective, "a token")


def _held_out(corpus: dict[str, Any]) -> str:
    """What the model was measured on."""
    validation = corpus["splits"]["validation"]
    held_out = corpus.get("held_out", {})
    if "examples" in corpus:
        how = "of a file of their own" if held_out["by"] == "file" else "held out by hash"
        return f"Validation: {validation['documents']:,} {corpus['examples']} {how}."
    if "pairs" not in validation:
        return f"Validation text: {validation['documents']:,} documents held out by hash."
    groups = held_out.get("groups") or ()
    how = f" by {held_out['by']}" if held_out.get("by") else ""
    named = f" ({', '.join(map(str, groups[:8]))}{', ...' if len(groups) > 8 else ''})" if groups else ""
    return f"Validation text: {validation['pairs']:,} pairs held out{how}{named}."


def _amount(split: dict[str, Any], examples: str = "documents") -> str:
    if "pairs" not in split:
        count, tokens, size = split["documents"], split["tokens"], split["bytes"]
        return f"{count:,} {examples}, {tokens:,} tokens, {size:,} bytes of\ntraining text"
    source, target = split["source"], split["target"]
    pairs, read, written = split["pairs"], source["tokens"], target["tokens"]
    size = source["bytes"] + target["bytes"]
    return f"{pairs:,} pairs, {read:,} tokens of sources, {written:,} of targets, {size:,} bytes of\ntraining text"


def _mixture(corpus: dict[str, Any]) -> str:
    """How often each of several corpora was gone through."""
    rows = [
        f"| `{part['corpus']}` | {part['weight']:.4g} | {part['tokens']:,} | {part['epochs']:.2f} |\n"
        for part in corpus.get("mixture", ())
    ]
    return f"| corpus | weight | tokens | epochs |\n|---|---|---|---|\n{''.join(rows)}\n" if rows else ""


def _files(corpus: dict[str, Any]) -> str:
    listed = "\n".join(
        f"- `{file['path']}`, {file['bytes']:,} bytes, xxh3 `{file['xxh3_128']}`" for file in corpus["files"]
    )
    left_out = corpus["n_files"] - len(corpus["files"])
    return listed + (f"\n- and {left_out:,} more, which the corpus's manifest.json names" if left_out else "")


def _settings(section: dict[str, Any]) -> str:
    """A section of the recipe in a line: its kind, if it has one, then the rest."""
    rest = ", ".join(f"{key} {value}" for key, value in section.items() if key != "kind")
    return f"{section['kind']}, {rest}" if "kind" in section else rest
