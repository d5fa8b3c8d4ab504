"""A pair's source and target stand as an encoder-decoder reads them, and the loss is that of each pair alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers as hf
from transformers.trainer_pt_utils import LabelSmoother

from sensorium.core.count import training_flops
from sensorium.core.encoder_decoder import EncoderDecoder
from sensorium.data.corpus import ParallelCorpus, language_token
from sensorium.data.parallel.prepare import prepare_parallel
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, ConfigError, DataError
from sensorium.families import bart, marian, t5
from sensorium.families.checkpoint import write_model
from sensorium.objectives.pairs import PairBatch, PairExample
from sensorium.objectives.seq2seq import Seq2SeqObjective
from sensorium.objectives.stream import Stream, one_pass
from sensorium.training.special import special_ids
from tests.data.test_piece_folders import folder_of

SEQ_LEN, START = 48, 0


def lines() -> list[tuple[str, str]]:
    draw = np.random.default_rng(0)
    words = [f"wort{number}" for number in range(60)]
    pairs = []
    for _ in range(120):
        chosen = draw.choice(60, int(draw.integers(2, 12)))
        source = " ".join(f"word{number}" for number in chosen)
        pairs.append((source, " ".join(words[number] for number in reversed(chosen))))
    return pairs


def prepared(folder: Path, *, both_ways: bool) -> ParallelCorpus:
    table = folder / "pairs.tsv"
    table.write_text("en\tde\n" + "".join(f"{a}\t{b}\n" for a, b in lines()), encoding="utf-8")
    return prepare_parallel(
        table, out=folder / "corpus", source="en", target="de", both_ways=both_ways, tokenizer="bpe:300",
        validation=0.1, show_progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def one_way(tmp_path_factory: pytest.TempPathFactory) -> ParallelCorpus:
    return prepared(tmp_path_factory.mktemp("one"), both_ways=False)


@pytest.fixture(scope="module")
def two_ways(tmp_path_factory: pytest.TempPathFactory) -> ParallelCorpus:
    return prepared(tmp_path_factory.mktemp("two"), both_ways=True)


def objective(corpus: ParallelCorpus, *, smoothing: float = 0.0, seq_len: int = SEQ_LEN) -> Seq2SeqObjective:
    return Seq2SeqObjective(corpus.tokenizer, seq_len=seq_len, start=START, smoothing=smoothing)


def examples(corpus: ParallelCorpus, made: Seq2SeqObjective) -> list[PairExample]:
    units = made.units(corpus.train, np.random.default_rng(0))
    return [made.example(corpus.train, unit, np.random.default_rng(0)) for unit in units]


def test_a_source_ends_and_the_decoder_reads_each_target_token_but_one_late(one_way: ParallelCorpus) -> None:
    tokenizer, known = one_way.tokenizer, dict(lines())
    for example in examples(one_way, objective(one_way)):
        assert example.source[-1] == example.targets[-1] == tokenizer.eos_id
        assert example.target[0] == START
        assert example.target[1:].tolist() == example.targets[:-1].tolist()
        written = tokenizer.decode(example.targets)
        assert known[tokenizer.decode(example.source)] == written
        assert example.n_bytes == len(written.encode())


def test_a_source_begins_with_the_language_to_write_where_there_are_several(two_ways: ParallelCorpus) -> None:
    tokenizer, known = two_ways.tokenizer, dict(lines())
    ids = {tokenizer.id(language_token(code)): code for code in ("en", "de")}
    asked = []
    for example in examples(two_ways, objective(two_ways)):
        code = ids[int(example.source[0])]
        read, written = tokenizer.decode(example.source).strip(), tokenizer.decode(example.targets).strip()
        assert (known[read] == written) if code == "de" else (known[written] == read)
        asked.append(code)
    assert asked.count("en") == asked.count("de") > 50


def test_a_batch_counts_the_tokens_of_both_sides(one_way: ParallelCorpus) -> None:
    stream = Stream(objective(one_way), one_way.train, 300, seed=0)
    batches = [stream.next() for _ in range(20)]
    sizes = [sum(batch.source.lengths) + sum(batch.target.lengths) for batch in batches]
    assert sizes == [batch.tokens for batch in batches]
    assert max(sizes) <= 300
    assert sum(size > 220 for size in sizes) > 15
    assert all(len(batch.source.lengths) == len(batch.target.lengths) for batch in batches)


@pytest.mark.parametrize("after", [1, 17])
def test_the_stream_goes_on_where_it_stood(one_way: ParallelCorpus, after: int) -> None:
    stream = Stream(objective(one_way), one_way.train, 300, seed=3)
    for _ in range(after):
        stream.next()
    again = Stream(objective(one_way), one_way.train, 300, seed=3, epoch=stream.epoch, unit=stream.unit)
    for _ in range(10):
        a, b = stream.next(), again.next()
        assert torch.equal(a.source.ids, b.source.ids)
        assert torch.equal(a.targets, b.targets)


def test_pairs_that_are_too_long_are_left_out_and_counted(one_way: ParallelCorpus) -> None:
    longest = max(int(side.max()) for side in one_way.train.lengths) + 1
    assert objective(one_way, seq_len=longest).too_long(one_way.train) == 0
    short = objective(one_way, seq_len=longest // 2)
    kept = examples(one_way, short)
    assert 0 < len(kept) == len(one_way.train) - short.too_long(one_way.train) < len(one_way.train)
    assert all(max(len(example.source), len(example.target)) <= longest // 2 for example in kept)


def test_of_pairs_that_are_all_too_long_nothing_is_learned_or_measured(one_way: ParallelCorpus) -> None:
    short = objective(one_way, seq_len=2)
    assert short.too_long(one_way.train) == len(one_way.train)
    batches = one_pass(short, one_way.validation, tokens=80, seed=0)
    assert short.evaluate(model("marian", one_way), batches, 1) == {}
    with pytest.raises(DataError, match="holds nothing that this objective learns from"):
        Stream(short, one_way.train, 300, seed=0).next()
    with pytest.raises(ConfigError, match="no room"):
        objective(one_way, seq_len=1)


@pytest.mark.parametrize("kind", ["mbart", "mbart50"])
def test_a_tokenizer_that_marks_each_text_with_its_language_is_refused(kind: str, tmp_path: Path) -> None:
    """Stock would end or begin a target with another mark than its source."""
    tokenizer = Tokenizer.from_folder(folder_of(kind, tmp_path))
    with pytest.raises(CapabilityError, match=r"marks each text with its language \(en_XX\).*Prepare the corpus with"):
        Seq2SeqObjective(tokenizer, seq_len=SEQ_LEN, start=START)


def model(family: str, corpus: ParallelCorpus) -> EncoderDecoder:
    torch.manual_seed(0)
    size = {"vocab_size": corpus.tokenizer.vocab_size, "dim": 32, "layers": 2, "heads": 2, "feedforward": 64}
    config = {
        "marian": lambda: marian.sized(**size, context=64, dropout=0.0),
        "bart": lambda: bart.sized(**size, context=64, dropout=0.0),
        "t5": lambda: t5.sized(**size, head_dim=16, dropout=0.0),
    }[family]()
    made = EncoderDecoder(config)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0.0, 0.1)
    return made


def alone(made: EncoderDecoder, example: PairExample) -> torch.Tensor:
    """Logits of a pair that is in no batch."""
    source, target = (torch.from_numpy(ids)[None] for ids in (example.source, example.target))
    return made.logits(made(source, target))[0]


@pytest.mark.parametrize("family", ["marian", "bart", "t5"])
def test_the_loss_of_a_batch_is_that_of_its_pairs_alone(family: str, one_way: ParallelCorpus) -> None:
    made, goal = model(family, one_way), objective(one_way, smoothing=0.2)
    chosen = examples(one_way, goal)[:7]
    logits = torch.cat([alone(made, example) for example in chosen])
    targets = torch.from_numpy(np.concatenate([example.targets for example in chosen]))
    expected = F.cross_entropy(logits, targets, label_smoothing=0.2)
    wanted = torch.autograd.grad(expected, list(made.parameters()), retain_graph=True)
    found = goal.loss(made, goal.collate(chosen))
    torch.testing.assert_close(found.total, expected)
    torch.testing.assert_close(found.parts["loss"], F.cross_entropy(logits, targets))
    got = torch.autograd.grad(found.total, list(made.parameters()))
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("family", ["marian", "bart", "t5"])
def test_inputs_and_losses_are_those_of_stock(family: str, one_way: ParallelCorpus, tmp_path: Path) -> None:
    """`DataCollatorForSeq2Seq` makes the batch of texts, and `LabelSmoother` the loss of what stock computes."""
    made = model(family, one_way).eval()
    write_model(tmp_path, made, special=special_ids(one_way.tokenizer))
    one_way.tokenizer.save(tmp_path, kind="seq2seq")
    theirs = hf.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    tokenizer = hf.AutoTokenizer.from_pretrained(tmp_path)
    start = theirs.config.decoder_start_token_id
    goal = Seq2SeqObjective(one_way.tokenizer, seq_len=SEQ_LEN, start=start, smoothing=0.2)
    chosen = examples(one_way, goal)[:7]
    texts = [tuple(one_way.tokenizer.decode(ids) for ids in (one.source, one.targets)) for one in chosen]
    collate = hf.DataCollatorForSeq2Seq(tokenizer, model=theirs)
    batch = collate([tokenizer(source, text_target=target) for source, target in texts])
    for one, ids, read, labels in zip(
        chosen, batch["input_ids"], batch["decoder_input_ids"], batch["labels"], strict=True
    ):
        assert one.source.tolist() == ids[: len(one.source)].tolist()
        assert one.target.tolist() == read[: len(one.target)].tolist()
        assert one.targets.tolist() == labels[labels != -100].tolist()
    out = theirs(**{name: value for name, value in batch.items() if name != "token_type_ids"})
    found = goal.loss(made, goal.collate(chosen))
    torch.testing.assert_close(found.parts["loss"], out.loss, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.total, LabelSmoother(0.2)(out, batch["labels"]), atol=1e-5, rtol=1e-5)


def test_validation_measures_loss_accuracy_and_bits_a_byte(one_way: ParallelCorpus) -> None:
    made, goal = model("marian", one_way), objective(one_way, smoothing=0.2)
    held_out = one_way.validation
    batches = list(one_pass(goal, held_out, tokens=80, seed=0))
    assert len(batches) > 1
    metrics = goal.evaluate(made.eval(), iter(batches), held_out.n_bytes)
    pairs = [
        goal.example(held_out, unit, np.random.default_rng(0))
        for unit in goal.units(held_out, np.random.default_rng(0))
    ]
    logits = torch.cat([alone(made, pair) for pair in pairs])
    targets = torch.from_numpy(np.concatenate([pair.targets for pair in pairs]))
    loss = F.cross_entropy(logits, targets).item()
    assert metrics["loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["perplexity"] == pytest.approx(math.exp(loss), rel=1e-4)
    assert metrics["accuracy"] == pytest.approx((logits.argmax(1) == targets).float().mean().item())
    text = sum(len(one_way.tokenizer.decode(pair.targets).encode()) for pair in pairs)
    assert metrics["bits_per_byte"] == pytest.approx(loss * len(targets) / math.log(2) / text, rel=1e-5)
    assert goal.evaluate(made, iter(list[PairBatch]()), 0) == {}


def test_the_operations_of_a_pair_are_shared_by_the_tokens_of_both_sides(one_way: ParallelCorpus) -> None:
    made = model("marian", one_way)
    goal = Seq2SeqObjective(one_way.tokenizer, seq_len=SEQ_LEN, start=START, lengths=(30.0, 12.0))
    whole = training_flops(made.config, length=12, source_length=30) * 12
    assert goal.flops(made.config) * (30 + 12) == pytest.approx(whole)
