"""Fixtures: what a model computed when it was saved, kept beside it, so that a later engine can be held to it.

`sensorium.json` keeps a few texts with their token ids, the likeliest fills or the greedy continuation, and some
logits. Ids must agree exactly; so that this holds for every BLAS, rankings and continuations are recorded only as
far as they are clear, that is while the next logit stays behind by a margin far above rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import xxhash
from jaxtyping import Float
from torch import Tensor

from sensorium.errors import CapabilityError, CheckpointError, InputError
from sensorium.files import StrPath, read_json, write_json
from sensorium.inference.engine import Capability, Engine, HeadEngine
from sensorium.inference.open import locate, open_engine
from sensorium.results import Check, Verification

FILE = "sensorium.json"
TOLERANCE = 1e-3
"""Largest difference of a logit in fp32."""
_MARGIN = 1e-2
_TOP = 5
_NEW_TOKENS = 16
_FILLS = ("This is a {} example.", "She {} the door and went out.", "这是一个{}的例子。")
_SOURCES = ("Open the file.", "The file could not be saved: there is no room left.", "打开文件。")
_PROMPTS = ("Once upon a time", "It is a truth universally acknowledged", "春眠不觉晓")
_READ = ("Anna went to Paris in 1999.", "It is a truth universally acknowledged", "春眠不觉晓")
_HEADS: tuple[Capability, ...] = ("answer", "classify", "tag")

Fixture = dict[str, Any]


def write_fixtures(folder: StrPath) -> None:
    """Compute the fixtures of a saved model and add them to its `sensorium.json`.

    Raises:
        CheckpointError: the folder's model or its sensorium.json cannot be read.
        CapabilityError: the core does not know the model's family.
    """
    folder = Path(folder)
    engine = open_engine(folder, engine="native", device="cpu")
    known = _read(folder)
    known["fixtures"] = compute(engine)
    write_json(folder / FILE, known)


def verify(folder: StrPath, *, engine: Literal["native", "transformers"] = "native") -> Verification:
    """Hold a saved model to its fixtures, in fp32 on the CPU.

    Args:
        folder: a model folder with a `sensorium.json`, or the name of a bundled model.
        engine: which engine computes.

    Raises:
        InputError: there is no model, or it carries no fixtures.
        CheckpointError: the model cannot be read.
        CapabilityError: the engine is not installed.
    """
    checks: list[Check] = []
    paths = locate(folder)
    for path in paths:
        found = verify_engine(open_engine(path, engine=engine, device="cpu"), path)
        label = f"{path.name}: " if len(paths) > 1 else ""
        checks += [Check(label + check.name, check.passed, check.detail) for check in found.checks]
    return Verification(engine, tuple(checks))


def verify_engine(engine: Engine, folder: Path) -> Verification:
    """Hold an open engine to the fixtures of the folder that it was opened from.

    Raises:
        InputError: the folder carries no fixtures.
    """
    fixtures = _read(folder).get("fixtures")
    if not isinstance(fixtures, list) or not fixtures:
        raise InputError(
            f"the model carries no fixtures ({FILE})", where=str(folder), fix="Save it with Sensorium, or do not verify"
        )
    checks: list[Check] = []
    for number, fixture in enumerate(fixtures, 1):
        try:
            checks += _compare(engine, fixture)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CheckpointError(
                f"fixture {number} cannot be read: {error!r}", where=str(folder / FILE), fix="Copy the folder anew"
            ) from error
    return Verification(engine.name, tuple(checks))


def demand_verified(engine: Engine, folder: Path) -> None:
    """Raise if an open engine does not compute what the folder's fixtures say.

    Raises:
        InputError: the folder carries no fixtures.
        CheckpointError: a fixture does not hold.
    """
    failed = [check for check in verify_engine(engine, folder).checks if not check.passed]
    if failed:
        raise CheckpointError(
            f"the model does not compute what it did when it was saved: {failed[0].name}: {failed[0].detail}"
            + (f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""),
            where=str(folder),
            fix="Copy the folder anew, or load it without verify=True",
        )


def compute(engine: Engine) -> list[Fixture]:
    """The fixtures of a model: of masks for an encoder, or of its answers, classes or tags; of continuations for a
    decoder, of what an encoder-decoder writes; none without a head."""
    if "fill_mask" in engine.capabilities and engine.tokenizer.mask_id is not None:
        mask = engine.tokenizer.special["mask"]
        texts = [form.format(mask) for form in _FILLS]
        fitting = [text for text in texts if _fits(engine, text)] or [mask]
        return [_fill(engine, text) for text in fitting]
    if "translate" in engine.capabilities:
        fitting = [text for text in _SOURCES if _fits(engine, text)] or ["a"]
        return [_greedy(engine, text, "translate") for text in fitting]
    if "generate" in engine.capabilities:
        fitting = [text for text in _PROMPTS if _fits(engine, text)] or ["a"]
        return [_greedy(engine, text, "generate") for text in fitting]
    fitting = [text for text in _READ if _fits(engine, text)] or ["a"]
    return [_by_head(engine, text, task) for task in _HEADS if task in engine.capabilities for text in fitting]


def _fits(engine: Engine, text: str) -> bool:
    """Whether a text is neither nothing to this tokenizer nor too long for this model."""
    return 0 < len(engine.tokenizer.encode(text)) < (engine.context or math.inf)


def _fill(engine: Engine, text: str) -> Fixture:
    ids = engine.tokenizer.encode(text)
    return {"task": "fill_mask", "text": text, "ids": ids, **_digest(_mask_logits(engine, ids))}


def _greedy(engine: Engine, text: str, task: Capability) -> Fixture:
    """`generate`: the text is continued; `translate`: it is read, and another one written."""
    ids = engine.tokenizer.encode(text)
    room = _NEW_TOKENS if engine.context is None else min(_NEW_TOKENS, engine.context - len(ids))
    logits, continuation = _continue(engine, ids, room, clear=True)
    return {"task": task, "text": text, "ids": ids, **_digest(logits), "greedy": continuation}


def _by_head(engine: Engine, text: str, task: Capability) -> Fixture:
    ids = engine.tokenizer.encode(text)
    return {"task": task, "text": text, "ids": ids, **_digest(_head_logits(engine, ids, task))}


def _head_logits(engine: Engine, ids: Sequence[int], task: Capability) -> Float[Tensor, " outputs"]:
    """All outputs of a head, those of each token one after another."""
    if task not in engine.capabilities or not isinstance(engine, HeadEngine):
        raise CapabilityError(f"the fixtures are of {task}, which this model does not do", where=engine.source)
    if task == "classify":
        return engine.class_logits([ids])[0]
    return (engine.span_logits if task == "answer" else engine.tag_logits)([ids])[0].flatten()


def _mask_logits(engine: Engine, ids: Sequence[int]) -> Float[Tensor, " vocab"]:
    place = list(ids).index(engine.tokenizer.mask_id)
    return engine.masked_logits([ids], [[place]])[0].cpu()


@torch.inference_mode()
def _continue(
    engine: Engine, ids: Sequence[int], count: int, *, clear: bool = False
) -> tuple[Float[Tensor, " vocab"], list[int]]:
    """The prompt's logits and the greedy continuation, only while the choice is clear if asked so."""
    state, logits = engine.prefill([ids], len(ids) + count)
    first, tokens = logits[0].cpu(), list[int]()
    for _ in range(count):
        best = logits[0].topk(2)
        if clear and float(best.values[0] - best.values[1]) < _MARGIN:
            break
        tokens.append(int(best.indices[0]))
        if len(tokens) < count:
            logits = state.step(tokens[-1:])
    return first, tokens


def _digest(logits: Float[Tensor, " vocab"]) -> Fixture:
    """The clear part of the ranking, some logits by id, and statistics that every weight has a part in."""
    values, ids = logits.topk(min(_TOP + 1, len(logits)))
    gaps = (values[:-1] - values[1:]).tolist()
    clear = next((i for i, gap in enumerate(gaps) if gap < _MARGIN), len(gaps))
    spread = range(0, len(logits), max(1, len(logits) // 8))
    chosen = sorted({*ids[:_TOP].tolist(), *spread})
    numbers = {str(id): round(float(logits[id]), 5) for id in chosen}
    top = ids[:clear].tolist()
    statistics = {"mean": round(float(logits.mean()), 5), "deviation": round(float(logits.std()), 5)}
    return {"top": top, "logits": numbers, **statistics, "logits_hash": _hash(logits)}


def _hash(logits: Float[Tensor, " vocab"]) -> str:
    """Of every bit of the logits: equal on the same machine, a hint and no demand elsewhere."""
    return xxhash.xxh3_128(logits.float().contiguous().numpy().tobytes()).hexdigest()


def _compare(engine: Engine, fixture: Fixture) -> list[Check]:
    text, expected = fixture["text"], fixture["ids"]
    ids = engine.tokenizer.encode(text)
    checks = [_check(f"token ids of {text!r}", ids, expected)]
    if fixture["task"] == "fill_mask":
        if "fill_mask" not in engine.capabilities:
            raise CapabilityError("the fixtures are of masks, which this model does not fill", where=engine.source)
        logits = _mask_logits(engine, expected)
        what = "fills of"
    elif fixture["task"] in _HEADS:
        logits = _head_logits(engine, expected, fixture["task"])
        what = "outputs for"
    else:
        if fixture["task"] not in engine.capabilities:
            raise CapabilityError(
                f"the fixtures are of {fixture['task']}, which this model does not do", where=engine.source
            )
        logits, tokens = _continue(engine, expected, max(1, len(fixture["greedy"])))
        what = "next tokens of"
        checks.append(_check(f"greedy continuation of {text!r}", tokens[: len(fixture["greedy"])], fixture["greedy"]))
    top = logits.topk(min(_TOP, len(logits))).indices.tolist()[: len(fixture["top"])]
    checks.append(_check(f"{what} {text!r}", top, fixture["top"]))
    numbers = {int(id): value for id, value in fixture["logits"].items()}
    differences = [abs(float(logits[id]) - value) for id, value in numbers.items()]
    differences += [abs(float(logits.mean()) - fixture["mean"]), abs(float(logits.std()) - fixture["deviation"])]
    worst = max(math.inf if math.isnan(difference) else difference for difference in differences)
    identical = _hash(logits) == fixture["logits_hash"]
    detail = "equal to the last bit" if identical else f"largest difference {worst:.2g}, allowed {TOLERANCE:g}"
    checks.append(Check(f"logits of {text!r}", worst <= TOLERANCE, detail))
    return checks


def _check(name: str, found: list[int], expected: list[int]) -> Check:
    if found == expected:
        return Check(name, True, "equal")
    place = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), None)
    if place is None:
        return Check(name, False, f"{len(found)} ids, expected {len(expected)}")
    return Check(name, False, f"id {found[place]} at place {place}, expected {expected[place]}")


def _read(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    return read_json(path) if path.is_file() else {}
