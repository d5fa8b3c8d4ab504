"""Write down sounds of any length, window by window (Radford et al. 2023, section 3.8).

A sound that a window holds is heard at once. A longer one is heard window by window, each of which begins where the
last piece of text that was complete in the one before it ends. Where and how texts are cut is as in Hugging Face's
`generate`, but for one thing: the windows end where the sound does, not where its padding does.

Unusual: windows of several sounds are heard and written together, as far as their prompts are of one length.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sensorium.core.cache import CrossMemory
from sensorium.inference.speech import SpeechEngine, Written, detect_language, draw, write
from sensorium.inference.speech_rules import SpeechRules
from sensorium.modalities.mel import log_mel
from sensorium.results import Segment, Transcription
from sensorium.tasks.transcribe_segments import Piece, pieces
from sensorium.tasks.transcribe_wish import TranscribeWish, no_times

_AT_ONCE = 8
"""Windows that are heard together."""
_COLD = 0.5
"""What was drawn at this temperature or above is not gone on from, as in `generate`."""


@dataclass(eq=False)
class _Job:
    """A sound, and how far it has been written down."""

    mel: Float[Tensor, "mels padded"]
    frames: int
    """Of the sound without padding."""
    duration: float
    timestamps: bool
    language: str | None = None
    seek: int = 0
    """First frame of the next window."""
    segments: list[Segment] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """Of the segments, with their white space."""
    written: list[tuple[int, ...]] = field(default_factory=list)
    """Tokens of the segments."""
    goes_on: bool = False
    """The next window's text goes on from those before."""
    draws: int = 0


def transcribe_all(
    engine: SpeechEngine, sounds: Sequence[Float[Tensor, " _"]], wish: TranscribeWish
) -> list[Transcription]:
    """What is said in each sound, in order.

    Args:
        engine: hears and writes.
        sounds: samples at the rate of `engine.mel`.
        wish: how.

    Raises:
        DataError: a sound is empty or holds samples that are not finite.
        CapabilityError: a sound is longer than a window, and the model writes no times.
        EngineError: the model gives logits that are not numbers.
    """
    found = []
    for start in range(0, len(sounds), _AT_ONCE):
        jobs = [_job(engine, sound, wish) for sound in sounds[start : start + _AT_ONCE]]
        while going := [job for job in jobs if job.seek < job.frames]:
            _advance(engine, going, wish)
        found += [Transcription("".join(j.texts).strip(), tuple(j.segments), j.language, j.duration) for j in jobs]
    return found


def _job(engine: SpeechEngine, sound: Float[Tensor, " samples"], wish: TranscribeWish) -> _Job:
    spec = engine.mel
    long = len(sound) > engine.frames * spec.hop
    if long and engine.facts.no_timestamps is None:
        raise no_times(engine)
    mel = log_mel(sound, replace(spec, seconds=None) if long else spec)[0]
    return _Job(
        mel=mel,
        frames=mel.shape[1] if long else min(engine.frames, -(-len(sound) // spec.hop)),
        duration=len(sound) / spec.rate,
        timestamps=wish.timestamps or long,
        language=wish.language,
    )


def _advance(engine: SpeechEngine, jobs: Sequence[_Job], wish: TranscribeWish) -> None:
    """Hear one window of each sound, and write it down."""
    heard = engine.hear(torch.stack([_window(job, engine.frames) for job in jobs]))
    new = [row for row, job in enumerate(jobs) if job.language is None]
    if new and engine.facts.languages:
        for row, (code, _) in zip(new, detect_language(engine, _rows(heard, new)), strict=True):
            jobs[row].language = code
    for rows, prompts, start in _groups(engine, jobs, wish):
        timestamps = jobs[rows[0]].timestamps
        for row, written in zip(rows, _written(engine, heard, rows, jobs, prompts, start, wish), strict=True):
            _take(engine, jobs[row], written, wish, timestamps)


def _window(job: _Job, frames: int) -> Float[Tensor, "mels frames"]:
    """The next window; what lies beyond the spectrogram is 0, as in `generate`."""
    part = job.mel[:, job.seek : job.seek + frames]
    return F.pad(part, (0, frames - part.shape[1]))


def _groups(
    engine: SpeechEngine, jobs: Sequence[_Job], wish: TranscribeWish
) -> Iterator[tuple[list[int], Tensor, int]]:
    """Rows whose prompts are alike in length and in whether times follow, the prompts, and where their own tokens begin
    after the text before."""
    made = []
    for row, job in enumerate(jobs):
        own = wish.prompt(engine, job.language, timestamps=job.timestamps)
        before = _before(engine, job) if job.goes_on else []
        made.append((len(before), job.timestamps, row, [*before, *own]))
    for (start, _), group in groupby(sorted(made), key=lambda one: one[:2]):
        alike = list(group)
        yield [row for _, _, row, _ in alike], torch.tensor([prompt for *_, prompt in alike]), start


def _before(engine: SpeechEngine, job: _Job) -> list[int]:
    """The end of the text before, begun by its token; of two times at a segment's end, the second is the next one's."""
    first, previous = engine.facts.first_time, engine.facts.previous
    if first is None or previous is None:
        return []
    ids = list[int]()
    for tokens in job.written:
        ids += tokens[:-1] if len(tokens) > 2 and tokens[-2] >= first else tokens
    return [previous, *ids[-(engine.target_context // 2 - 1) :]] if ids else []


def _written(
    engine: SpeechEngine,
    heard: CrossMemory,
    rows: Sequence[int],
    jobs: Sequence[_Job],
    prompts: Tensor,
    start: int,
    wish: TranscribeWish,
) -> list[Written]:
    """The text of each row, at the first temperature that serves."""
    rules = SpeechRules.of(engine.facts, timestamps=jobs[rows[0]].timestamps)
    search = wish.search(engine, prompts.shape[1])
    best: dict[int, Written] = {}
    left = list(range(len(rows)))
    for number, temperature in enumerate(wish.temperatures):
        memory, asked = _rows(heard, [rows[place] for place in left]), prompts[left]
        if temperature == 0.0:
            made = write(engine, memory, asked, start, search, rules)
        else:
            drawn = [jobs[rows[place]] for place in left]
            seeds = [(wish.seed + (job.draws << 32)) % (1 << 63) for job in drawn]
            for job in drawn:
                job.draws += 1
            made = draw(engine, memory, asked, start, search, rules, temperature=temperature, seeds=seeds)
        best.update(zip(left, made, strict=True))
        if number < len(wish.temperatures) - 1:
            left = [place for place in left if _fails(engine, best[place], wish) and not _silent(best[place], wish)]
        if not left:
            break
    return [best[place] for place in range(len(rows))]


def _fails(engine: SpeechEngine, written: Written, wish: TranscribeWish) -> bool:
    """Whether a text repeats itself, or the model is not sure of it."""
    raw = text_of(engine, written.token_ids).encode()
    repeats = wish.compression_limit is not None and len(raw) > wish.compression_limit * len(zlib.compress(raw))
    return repeats or (wish.logprob_limit is not None and written.mean_logprob < wish.logprob_limit)


def _silent(written: Written, wish: TranscribeWish) -> bool:
    if wish.silence_limit is None or written.no_speech_prob <= wish.silence_limit:
        return False
    return wish.logprob_limit is None or written.mean_logprob < wish.logprob_limit


def _take(engine: SpeechEngine, job: _Job, written: Written, wish: TranscribeWish, timestamps: bool) -> None:
    """Add what was heard in a window, and move on."""
    size = min(job.frames - job.seek, engine.frames)
    job.goes_on = wish.condition and written.temperature < _COLD
    if _silent(written, wish) or not written.token_ids:
        job.seek += size
        return
    first = engine.facts.first_time if timestamps else None
    found, moved = pieces(written.token_ids, first, size)
    step = engine.mel.hop / engine.mel.rate
    for piece in found:
        _add(engine, job, piece, written, step)
    job.seek += moved


def _add(engine: SpeechEngine, job: _Job, piece: Piece, written: Written, step: float) -> None:
    start, end = ((job.seek + frame) * step for frame in (piece.start, piece.end))
    text = text_of(engine, piece.token_ids)
    job.written.append(piece.token_ids)
    job.texts.append(text)
    job.segments.append(
        Segment(
            start=round(min(start, job.duration), 3),
            end=round(min(end, job.duration), 3),
            text=text.strip(),
            token_ids=piece.token_ids,
            mean_logprob=written.mean_logprob,
            no_speech_prob=written.no_speech_prob,
        )
    )


def text_of(engine: SpeechEngine, ids: Sequence[int]) -> str:
    """The text of tokens, without those of times."""
    first, special = engine.facts.first_time, engine.tokenizer.special_ids
    return engine.tokenizer.decode([id for id in ids if id not in special and (first is None or id < first)])


def _rows(heard: CrossMemory, rows: Sequence[int]) -> CrossMemory:
    """A copy of these windows, which a search may overwrite."""
    places = torch.tensor(list(rows), device=heard.keys[0].device)
    return CrossMemory([k[places] for k in heard.keys], [v[places] for v in heard.values])
