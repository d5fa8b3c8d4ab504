"""What denoising takes from a text and what it asks for make the text again, in the amounts that the papers say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sensorium.data.prepare.prepare import prepare
from sensorium.data.shards import Corpus
from sensorium.errors import ConfigError
from sensorium.objectives import denoising
from sensorium.objectives.denoising import (
    SENTINELS,
    InfillingObjective,
    SpanCorruptionObjective,
    corrupt_spans,
    infill,
    noise_spans,
    permute,
)
from sensorium.objectives.objective import Ids
from sensorium.training.special import with_sentinels

MASK, FIRST_SENTINEL = 999, 1000
SENTINEL_IDS = np.arange(FIRST_SENTINEL, FIRST_SENTINEL + SENTINELS)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def restored(source: Ids, target: Ids, sentinels: Ids) -> list[int]:
    """The text of a corrupted one: each sentinel of the source gives way to what follows it in the target."""
    known = set(sentinels.tolist())
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for token in target.tolist():
        if token in known:
            assert token not in spans
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    text: list[int] = []
    for token in source.tolist():
        text += spans.pop(token) if token in known else [token]
    assert not spans
    return text


@pytest.mark.parametrize("length", [2, 3, 7, 20, 100, 511])
@pytest.mark.parametrize(("rate", "mean"), [(0.15, 3.0), (0.5, 3.0), (0.15, 1.0), (0.99, 30.0)])
def test_source_and_target_make_the_text_again(length: int, rate: float, mean: float) -> None:
    tokens = np.arange(length)
    for seed in range(50):
        spans = noise_spans(length, rate, mean, SENTINELS, rng(seed))
        source, target = corrupt_spans(tokens, spans, SENTINEL_IDS)
        assert restored(source, target, SENTINEL_IDS) == tokens.tolist()
        taken = int((spans[:, 1] - spans[:, 0]).sum())
        assert len(source) == length - taken + len(spans)
        assert len(target) == taken + len(spans)


def test_as_many_tokens_and_spans_are_taken_as_in_t5() -> None:
    """Raffel et al. 2020: 512 tokens at 15 % and a mean of 3 give 77 tokens in 26 spans."""
    for seed in range(20):
        spans = noise_spans(512, 0.15, 3.0, SENTINELS, rng(seed))
        assert len(spans) == 26
        assert (spans[:, 1] - spans[:, 0]).sum() == 77
        assert spans[0, 0] > 0
        assert spans[-1, 1] == 512
        assert (spans[1:, 0] > spans[:-1, 1]).all()
    assert len(noise_spans(1, 0.15, 3.0, SENTINELS, rng(0))) == 0
    assert len(noise_spans(4000, 0.15, 1.0, SENTINELS, rng(0))) == SENTINELS


def test_a_text_is_corrupted_as_in_the_paper() -> None:
    """Raffel et al. 2020, figure 2: two spans, in order, each after the sentinel that stands in its place."""
    words = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week"]
    source, target = corrupt_spans(np.arange(len(words)), np.array([[2, 4], [8, 9]]), SENTINEL_IDS)
    shown = {**dict(enumerate(words)), FIRST_SENTINEL: "<X>", FIRST_SENTINEL + 1: "<Y>"}
    assert " ".join(shown[int(id)] for id in source) == "Thank you <X> me to your party <Y> week"
    assert " ".join(shown[int(id)] for id in target) == "<X> for inviting <Y> last"


def reference_mask(length: int, rate: float, mean: float, draw: np.random.Generator) -> NDArray[np.bool_]:
    """`random_spans_noise_mask` of the T5 authors' code (seqio), with NumPy's shuffle."""
    noise = min(max(round(length * rate), 1), length - 1)
    count = max(round(noise / mean), 1)

    def segments(items: int, parts: int) -> NDArray[np.int64]:
        first = (np.arange(items - 1) < parts - 1).astype(np.int64)
        draw.shuffle(first)
        ids = np.cumsum(np.concatenate(([0], first)))
        return np.bincount(ids, minlength=parts)

    noise_lengths, other = segments(noise, count), segments(length - noise, count)
    interleaved = np.stack([other, noise_lengths], axis=1).reshape(-1)
    starts = np.zeros(length, dtype=np.int64)
    starts[np.cumsum(interleaved)[:-1]] = 1
    return np.cumsum(starts) % 2 == 1


def test_spans_fall_as_in_the_authors_code() -> None:
    """Each of the ways to cut is as likely in both: the masks of a short text are counted."""
    length, rate, mean, draws = 12, 0.4, 2.0, 6000
    counts = [Counter[bytes](), Counter[bytes]()]
    draw = rng(0)
    for seed in range(draws):
        mask = np.zeros(length, dtype=bool)
        for start, stop in noise_spans(length, rate, mean, SENTINELS, rng(seed)):
            mask[start:stop] = True
        counts[0][mask.tobytes()] += 1
        counts[1][reference_mask(length, rate, mean, draw).tobytes()] += 1
    assert counts[0].keys() == counts[1].keys()
    assert len(counts[0]) > 20
    expected = draws / len(counts[0])
    for found in counts:  # a chi-squared statistic has the mean of its degrees of freedom
        chi = sum((count - expected) ** 2 / expected for count in found.values())
        assert chi < len(found) + 6 * (2 * len(found)) ** 0.5


def matches(source: Ids, words: list[list[int]]) -> list[int] | None:
    """How many words each mask of a source stands for, if it is these words with masks; every word is unlike all."""
    place = {word[0]: number for number, word in enumerate(words)}
    lengths, at, open_mask = list[int](), 0, False
    tokens = source.tolist()
    while tokens:
        if tokens[0] == MASK:
            if open_mask:
                return None  # two masks side by side
            open_mask, tokens = True, tokens[1:]
            continue
        number = place[tokens[0]]
        if number != at and not open_mask:
            return None
        if open_mask:
            lengths.append(number - at)
        word = words[number]
        if tokens[: len(word)] != word:
            return None
        tokens, at, open_mask = tokens[len(word) :], number + 1, False
    if open_mask:
        lengths.append(len(words) - at)
    elif at != len(words):
        return None
    return lengths


@pytest.mark.parametrize("n_words", [1, 2, 3, 10, 80])
def test_infilling_takes_whole_words_and_as_many_as_asked(n_words: int) -> None:
    drawn: list[int] = []
    for seed in range(200):
        sizes = rng(seed).integers(1, 4, size=n_words)
        starts = np.zeros(int(sizes.sum()), dtype=bool)
        starts[np.cumsum(sizes) - sizes] = True
        tokens = np.arange(len(starts))
        words = [part.tolist() for part in np.split(tokens, np.flatnonzero(starts)[1:])]
        source = infill(tokens, starts, 0.3, 3.0, MASK, rng(seed))
        lengths = matches(source, words)
        assert lengths is not None
        assert sum(lengths) == -(-3 * n_words // 10)
        drawn += lengths
    if n_words == 80:
        assert 0.03 < drawn.count(0) / len(drawn) < 0.08  # Poisson's distribution of mean 3 is 0 in 5 % of all cases
        assert 2.5 < np.mean(drawn) < 3.0  # the last of each text is cut


@pytest.mark.parametrize(("rate", "mean"), [(0.5, 1.0), (0.9, 3.0), (0.99, 1.0)])
def test_infilling_takes_as_much_as_asked_where_few_spans_have_room(rate: float, mean: float) -> None:
    starts = np.ones(50, dtype=bool)
    for seed in range(100):
        lengths = matches(infill(np.arange(50), starts, rate, mean, MASK, rng(seed)), [[i] for i in range(50)])
        assert lengths is not None
        assert sum(lengths) == int(np.ceil(50 * rate))
        assert len(lengths) <= 50 - sum(lengths) + 1


def test_sentences_change_places_and_stay_whole() -> None:
    tokens, ends = np.arange(20), np.array([4, 9, 15])
    sentences = {tuple(part) for part in np.split(tokens, ends)}
    orders = set()
    for seed in range(300):
        mixed = permute(tokens, ends, rng(seed)).tolist()
        found, rest = [], mixed
        while rest:
            sentence = next(s for s in sentences if tuple(rest[: len(s)]) == s)
            found.append(sentence)
            rest = rest[len(sentence) :]
        assert set(found) == sentences
        orders.add(tuple(found))
    assert len(orders) == 24


def test_span_corruption_of_a_corpus_restores_its_sentences(corpus: Corpus) -> None:
    tokenizer = with_sentinels(corpus.tokenizer)
    goal = SpanCorruptionObjective(tokenizer, seq_len=64, start=0)
    ids = np.array([tokenizer.id(f"<extra_id_{number}>") for number in range(SENTINELS)])
    assert len(set(ids.tolist()) - {None}) == SENTINELS
    assert ids.tolist() == list(range(tokenizer.vocab_size - 1, corpus.tokenizer.vocab_size - 1, -1))  # as T5's
    end = [tokenizer.eos_id]
    units = goal.units(corpus.train, rng(0))
    assert len(units) > 50
    for number, unit in enumerate(units):
        example = goal.example(corpus.train, unit, rng(number))
        text = corpus.train.tokens(int(unit[0]), int(unit[1])).tolist()
        assert len(example.source) <= 64
        assert [example.source[-1]] == [example.targets[-1]] == end
        assert restored(example.source[:-1], example.targets[:-1], ids) == text
        assert example.target.tolist() == [0, *example.targets[:-1].tolist()]


def test_infilling_of_a_corpus_asks_for_the_whole_text(corpus: Corpus) -> None:
    goal = InfillingObjective(corpus.tokenizer, seq_len=64, start=6, permute=True)
    still = InfillingObjective(corpus.tokenizer, seq_len=64, start=6, permute=False)
    mask, moved = corpus.tokenizer.mask_id, 0
    for number, unit in enumerate(goal.units(corpus.train, rng(0))):
        text = corpus.train.tokens(int(unit[0]), int(unit[1])).tolist()
        example = goal.example(corpus.train, unit, rng(number))
        assert example.targets.tolist() == [*text, corpus.tokenizer.eos_id]
        assert example.target.tolist() == [6, *text]
        assert len(example.source) <= 64
        kept = [token for token in example.source[:-1].tolist() if token != mask]
        assert not Counter(kept) - Counter(text)
        in_order = [token for token in still.example(corpus.train, unit, rng(number)).source[:-1] if token != mask]
        assert is_subsequence(in_order, text)
        moved += not is_subsequence(kept, text)
    assert moved > 20


def test_a_sentence_begins_a_word_wherever_it_is_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first token of a text has no space before it, and must not become a part of the word that it is put after."""
    text = "Anna ran home. Bert sat here. Carl went there."
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}) + "\n", encoding="utf-8")
    corpus = prepare(tmp_path / "a.jsonl", out=tmp_path / "corpus", validation=0.0)
    tokenizer, seen = corpus.tokenizer, []

    def looked_at(tokens: Ids, word_starts: NDArray[np.bool_], *rest: object) -> Ids:
        seen.append([tokenizer.decode(word).strip() for word in np.split(tokens, np.flatnonzero(word_starts)[1:])])
        return tokens

    monkeypatch.setattr(denoising, "infill", looked_at)
    goal = InfillingObjective(tokenizer, seq_len=64, start=6)
    (unit,) = goal.units(corpus.train, rng(0))
    for seed in range(20):
        goal.example(corpus.train, unit, rng(seed))
    words = ["Anna", "ran", "home", ".", "Bert", "sat", "here", ".", "Carl", "went", "there", "."]
    assert all(sorted(found) == sorted(words) for found in seen)
    assert any(found[0] != "Anna" for found in seen)


def is_subsequence(part: list[int], whole: list[int]) -> bool:
    rest = iter(whole)
    return all(token in rest for token in part)


def test_a_tokenizer_without_the_tokens_is_refused(corpus: Corpus) -> None:
    with pytest.raises(ConfigError, match="sentinels"):
        SpanCorruptionObjective(corpus.tokenizer, seq_len=64, start=0)
    with pytest.raises(ConfigError, match="no room"):
        InfillingObjective(corpus.tokenizer, seq_len=4, start=0)
