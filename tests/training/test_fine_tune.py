"""A given encoder learns questions, classes and tags by heart; what is written opens in stock `transformers`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file

from sensorium.errors import CapabilityError, ConfigError, DataError, InputError
from sensorium.tasks.model import load
from sensorium.training.recipe import load_recipe
from sensorium.training.train import Run, train
from tests.training.labelled import PEOPLE, SHORT, TOWNS, encoder, names, questions, reviews, sentences

MAKE: dict[str, Callable[[Path], Path]] = {
    "answer-small": lambda folder: questions(folder / "qa.json"),
    "classify-small": lambda folder: reviews(folder / "reviews.jsonl"),
    "tag-small": lambda folder: names(folder / "names.conll"),
}
STOCK = {
    "answer-small": hf.AutoModelForQuestionAnswering,
    "classify-small": hf.AutoModelForSequenceClassification,
    "tag-small": hf.AutoModelForTokenClassification,
}
BY_HEART = {
    "answer-small": [*SHORT, "run.epochs=200", "batch.tokens=256"],
    "classify-small": [*SHORT, "run.epochs=150", "optim.lr=1e-2"],
    "tag-small": [*SHORT, "run.epochs=20", "optim.lr=1e-2"],
}
FAMILIES = ["bert", "roberta", "distilbert", "modernbert"]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoder(tmp_path_factory.mktemp("given") / "bert")


@pytest.fixture(scope="module")
def trained(given: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run of each recipe to the end, measured by what it learned from."""
    folder = tmp_path_factory.mktemp("trained")
    runs = {}
    for recipe, settings in BY_HEART.items():
        data = MAKE[recipe](folder)
        runs[recipe] = train(
            data, recipe=recipe, init=given, out=folder / recipe, overrides=settings, validation=data,
            show_progress=False,
        )  # fmt: skip
    return runs


def test_small_tasks_are_learned_by_heart(trained: dict[str, Run]) -> None:
    assert trained["answer-small"].metrics["exact_match"] == 1.0
    assert trained["answer-small"].metrics["f1"] == 1.0
    assert trained["classify-small"].metrics["accuracy"] == 1.0
    assert trained["classify-small"].metrics["macro_f1"] == 1.0
    assert trained["tag-small"].metrics["entity_f1"] == 1.0
    assert all(0 <= run.metrics["loss"] < 0.3 for run in trained.values())


def test_the_new_head_is_told(trained: dict[str, Run], given: Path) -> None:
    assert trained["answer-small"].notes == (f"the model is {given}; spans start from fresh weights",)
    assert "pooler and classes start" in trained["classify-small"].notes[0]
    assert "tags start" in trained["tag-small"].notes[0]


def test_what_was_learned_is_used(trained: dict[str, Run]) -> None:
    classes = load(trained["classify-small"].folder, verify=True)
    texts = [text for *_, text in sentences()]
    assert [one.label for one in classes.classify(texts)] == [town for _, town, _ in sentences()]
    tags = load(trained["tag-small"].folder, verify=True)
    found = tags.tag("Carl went to Lima.")
    assert [(entity.text, entity.label) for entity in found.entities] == [("Carl", "PER"), ("Lima", "LOC")]
    assert [tag.label for tag in found.tags] == ["B-PER", "O", "O", "B-LOC", "O"]
    answers = load(trained["answer-small"].folder, verify=True)
    context = "Carl went to Lima in 1995."
    asked = {"Who?": "Carl", "Where did she go?": "Lima", "When?": "1995"}
    assert [answers.answer(question, context=context).text for question in asked] == list(asked.values())


@pytest.mark.parametrize("recipe", STOCK)
@pytest.mark.parametrize("family", FAMILIES)
def test_stock_opens_what_was_trained(family: str, recipe: str, trained: dict[str, Run], tmp_path: Path) -> None:
    if family == "bert":
        folder = trained[recipe].folder
    else:
        folder = tmp_path / "out"
        short = [*SHORT, "run.epochs=1"]
        train(MAKE[recipe](tmp_path), recipe=recipe, init=encoder(tmp_path / family, family), out=folder,
              overrides=short, show_progress=False)  # fmt: skip
    theirs, info = STOCK[recipe].from_pretrained(folder, output_loading_info=True)
    assert not any(info[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert theirs.config.model_type == family
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    lm = load(folder, verify=True)
    engine = lm.engines[0]
    text, second = "Anna went to Rome in 1990.", "Who?"
    given: Any = tokenizer(second, text, return_tensors="pt")
    with torch.inference_mode():
        out = theirs.eval()(**given)
    ids = [given["input_ids"][0].tolist()]
    types = [given["token_type_ids"][0].tolist()] if "token_type_ids" in given else None
    assert ("token_type_ids" in given) == (family == "bert")
    if recipe == "answer-small":
        expected = torch.stack((out.start_logits[0], out.end_logits[0]), -1)
        torch.testing.assert_close(engine.span_logits(ids, types)[0], expected, atol=1e-4, rtol=1e-5)
    elif recipe == "classify-small":
        torch.testing.assert_close(engine.class_logits(ids, types), out.logits, atol=1e-4, rtol=1e-5)
        assert theirs.config.id2label == dict(enumerate(sorted(TOWNS)))
        assert theirs.config.problem_type == "single_label_classification"
    else:
        torch.testing.assert_close(engine.tag_logits(ids, types)[0], out.logits[0], atol=1e-4, rtol=1e-5)
        assert theirs.config.label2id == {"B-LOC": 0, "B-PER": 1, "O": 2}


def test_the_other_engine_says_the_same(trained: dict[str, Run]) -> None:
    for recipe in ("classify-small", "tag-small"):
        ours, stock = (load(trained[recipe].folder, engine=engine) for engine in ("native", "transformers"))
        if recipe == "classify-small":
            a, b = (lm.classify("Dora went to Oslo in 1995.") for lm in (ours, stock))
            assert a.scores == pytest.approx(b.scores, abs=1e-5)
        else:
            a, b = (lm.tag("Dora went to Oslo in 1995.") for lm in (ours, stock))
            assert [tag.label for tag in a.tags] == [tag.label for tag in b.tags]


@pytest.mark.parametrize("recipe", STOCK)
def test_resuming_gives_the_same_bits(recipe: str, given: Path, tmp_path: Path) -> None:
    from sensorium.training import loop

    class StopError(Exception):
        pass

    settings = [*SHORT, "batch.tokens=100", "run.epochs=2.5", "run.save_every=3", "run.eval_every=4"]
    data = MAKE[recipe](tmp_path)
    whole = train(data, recipe=recipe, init=given, out=tmp_path / "whole", overrides=settings, show_progress=False)
    real, calls = loop.Loop._step, 0

    def failing(self, stream):
        nonlocal calls
        calls += 1
        if calls == 5:
            raise StopError
        return real(self, stream)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "_step", failing)
        with pytest.raises(StopError):
            train(data, recipe=recipe, init=given, out=tmp_path / "cut", overrides=settings, show_progress=False)
    cut = train(
        data, recipe=recipe, init=given, out=tmp_path / "cut", overrides=settings, resume=True, show_progress=False
    )
    assert cut.steps == whole.steps
    assert cut.metrics == whole.metrics
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_run_ends_with_its_epochs(given: Path, tmp_path: Path) -> None:
    data = reviews(tmp_path / "r.jsonl")
    recipe = load_recipe("classify-small", [*SHORT, "run.epochs=2", "batch.tokens=64", "run.held_out=0"])
    run = train(data, recipe=recipe, init=given, out=tmp_path / "out", show_progress=False)
    state = json.loads((tmp_path / "out" / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert state["step"] == run.steps
    tokens = sum(len(load(given).tokenizer.encode(text)) for *_, text in sentences())
    assert run.tokens == 2 * tokens
    assert run.metrics.keys() == {"loss"}
    limited = train(
        data, recipe=recipe.__class__(**{**vars(recipe), "run": recipe.run.__class__(steps=3, epochs=2.0)}),
        init=given, out=tmp_path / "limited", show_progress=False,
    )  # fmt: skip
    assert limited.steps == 3


def test_going_on_with_a_model_of_the_same_labels_keeps_its_head(trained: dict[str, Run], tmp_path: Path) -> None:
    data = reviews(tmp_path / "r.jsonl")
    before = trained["classify-small"].folder
    still = [*SHORT, "optim.lr=0", "run.epochs=1"]
    run = train(data, recipe="classify-small", init=before, out=tmp_path / "on", overrides=still, validation=data,
                show_progress=False)  # fmt: skip
    assert "its head is the given model's" in run.notes[0]
    assert run.metrics["accuracy"] == 1.0
    one, two = (load_file(folder / "model.safetensors") for folder in (before, run.folder))
    assert all(torch.equal(one[key], two[key]) for key in one)
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    data.write_text("".join(json.dumps({**row, "label": f"other {row['label']}"}) + "\n" for row in rows))
    other = train(data, recipe="classify-small", init=before, out=tmp_path / "other", overrides=still,
                  show_progress=False)  # fmt: skip
    assert "; classes start from fresh weights" in other.notes[0]
    assert other.notes[1].endswith("texts are held out for validation, chosen by hash")


def test_what_is_held_out_is_not_learned_from(given: Path, tmp_path: Path) -> None:
    from sensorium.training.given import Given
    from sensorium.training.labelled import open_labelled

    recipe = load_recipe("answer-small", [*SHORT, "run.held_out=0.3"])
    tokenizer = Given.open(given, recipe).tokenizer
    source = open_labelled(questions(tmp_path / "qa.json"), recipe, tokenizer)
    learned, held = ({part.contexts[i] for i in part.context_of} for part in (source.train, source.validation))
    assert learned
    assert held
    assert not learned & held
    assert len(learned | held) == len(sentences())
    again = open_labelled(questions(tmp_path / "qa.json"), recipe, tokenizer)
    assert again.fingerprint == source.fingerprint
    other = open_labelled(questions(tmp_path / "qa.json", impossible=True), recipe, tokenizer)
    assert other.fingerprint != source.fingerprint


def test_a_folder_of_splits_is_opened(given: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    reviews(folder / "train-00000.jsonl")
    (folder / "dev.jsonl").write_text('{"text": "Anna went to Rome in 1990.", "label": "Rome"}\n')
    (folder / "test.jsonl").write_text('{"text": "Never read this.", "label": "no label"}\n')
    run = train(folder, recipe="classify-small", init=given, out=tmp_path / "out", overrides=[*SHORT, "run.epochs=1"],
                show_progress=False)  # fmt: skip
    facts = json.loads((tmp_path / "out" / "run" / "data.json").read_text())
    assert facts["splits"]["train"]["documents"] == 16
    assert facts["splits"]["validation"]["documents"] == 1
    assert facts["labels"] == sorted(TOWNS)
    assert "accuracy" in run.metrics


def test_spans_that_do_not_match_are_counted_and_listed(given: Path, tmp_path: Path) -> None:
    path = questions(tmp_path / "qa.json")
    value = json.loads(path.read_text())
    value["data"][3]["paragraphs"][0]["qas"][1]["answers"][0]["answer_start"] += 1
    path.write_text(json.dumps(value))
    run = train(path, recipe="answer-small", init=given, out=tmp_path / "out", overrides=[*SHORT, "run.epochs=0.1"],
                show_progress=False)  # fmt: skip
    assert any("could not be used" in note and "does not stand at" in note for note in run.notes)
    facts = json.loads((tmp_path / "out" / "run" / "data.json").read_text())
    assert facts["input"]["counts"]["answers that do not match"] == 1
    assert facts["dropped"] == {"no answer matches the context": 1}
    assert "question 3-Where did she go?" in facts["input"]["unreadable"][0]["where"]


def test_long_sequences_are_fitted_to_the_model(given: Path, tmp_path: Path) -> None:
    run = train(questions(tmp_path / "qa.json"), recipe="answer-small", init=given, out=tmp_path / "out",
                overrides=["run.epochs=0.1", "run.eval_tokens=100"], show_progress=False)  # fmt: skip
    assert "it takes 64 tokens, so batch.seq_len is 64" in run.notes
    known = json.loads((run.folder / "run" / "run.json").read_text())
    assert known["recipe"]["batch"]["seq_len"] == 64
    assert known["recipe"]["model"] is None
    card = (run.folder / "README.md").read_text()
    assert "pipeline_tag: question-answering" in card
    assert "A bert encoder of" in card
    assert "questions held out by hash." in card
    assert "questions, " in card.partition("## Data")[2]


def test_the_bundled_encoder_is_given_by_its_name_and_long_texts_are_told(tmp_path: Path) -> None:
    data = tmp_path / "r.csv"
    long = "It was a truth universally acknowledged. " * 30
    data.write_text("text,label\n" + "".join(f"{i} {long if i == 3 else 'short'},{'ab'[i % 2]}\n" for i in range(6)))
    run = train(data, recipe="classify-small", init="default:encoder", out=tmp_path / "out",
                overrides=["run.steps=1", "run.held_out=0"], show_progress=False)  # fmt: skip
    assert run.steps == 1
    assert run.notes[0].endswith("; classes start from fresh weights")
    assert run.notes[-1] == "1 of 6 texts are longer than 128 tokens, and are cut"


def test_numbers_are_labels_in_their_order_and_other_signs_are_names(given: Path, tmp_path: Path) -> None:
    from sensorium.training.given import Given
    from sensorium.training.labelled import open_labelled

    data = tmp_path / "r.csv"
    recipe = load_recipe("classify-small", ["run.held_out=0"])
    tokenizer = Given.open(given, recipe).tokenizer
    for labels, expected in ((["10", "-1", "9"], ("-1", "9", "10")), (["--1", "10", "9"], ("--1", "10", "9"))):
        data.write_text("text,label\n" + "".join(f"Anna {label},{label}\n" for label in labels * 4))
        assert open_labelled(data, recipe, tokenizer).task.labels == expected


def test_what_is_nothing_to_the_tokenizer_is_told(given: Path, tmp_path: Path) -> None:
    nothing = "\u200b"
    tagged = names(tmp_path / "names.conll")
    tagged.write_text(tagged.read_text() + f"\nAnna B-PER\n{nothing} O\n", encoding="utf-8")
    asked = tmp_path / "qa.jsonl"
    rows = [{"question": "Who?", "context": f"Anna {nothing} went.", "answer": answer} for answer in ("Anna", nothing)]
    asked.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for recipe, data, message in (
        ("tag-small", tagged, "left out of the words: 1 (nothing to the tokenizer)"),
        ("answer-small", asked, "left out of the questions: 1 (answers that are nothing to the tokenizer)"),
    ):
        run = train(data, recipe=recipe, init=given, out=tmp_path / recipe, show_progress=False,
                    overrides=[*SHORT, "run.epochs=0.1", "run.held_out=0"])  # fmt: skip
        assert message in run.notes


def test_wrong_data_is_told(given: Path, tmp_path: Path) -> None:
    def refused(
        error: type[Exception], message: str, data: object, recipe: str = "classify-small", **more: Any
    ) -> None:
        with pytest.raises(error, match=message):
            train(data, recipe=recipe, out=tmp_path / "no", overrides=SHORT, **{"init": given, **more})
        assert not (tmp_path / "no").exists()

    data = reviews(tmp_path / "r.jsonl")
    refused(InputError, "trains a model that is given.*--init", data, init=None)
    refused(InputError, "no such file", tmp_path / "none.csv")
    refused(InputError, "unknown column 'stars'", data, columns={"label": "stars"})
    one = tmp_path / "one.csv"
    one.write_text("text,label\na b,x\nc d,x\n")
    refused(DataError, r"one\.csv: every label is 'x': there is nothing to tell apart", one)
    other = tmp_path / "other.jsonl"
    other.write_text('{"text": "a", "label": "Berlin"}\n')
    refused(DataError, r"other\.jsonl:1: the label 'Berlin' is none of the training data's", data, validation=other)
    empty = tmp_path / "qa.json"
    empty.write_text('{"data": []}')
    refused(DataError, "holds no questions that can be used", empty, "answer-small")
    refused(InputError, "unknown column 'label'", data, "answer-small", columns={"label": "text"})
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "manifest.json").write_text("{}")
    refused(InputError, "is a corpus of plain text", tmp_path / "corpus")
    (tmp_path / "folder").mkdir()
    refused(DataError, "holds no file whose name begins with train", tmp_path / "folder")
    sized = load_recipe("bert-tiny")
    with pytest.raises(InputError, match=r"learns from a corpus.*Leave out the validation data"):
        train(data, recipe=sized, out=tmp_path / "no", validation=data)


def test_only_encoders_are_given(tmp_path: Path) -> None:
    hf.GPT2LMHeadModel(hf.GPT2Config(vocab_size=50, n_embd=8, n_layer=1, n_head=1, n_positions=16)).save_pretrained(
        tmp_path / "gpt2"
    )
    with pytest.raises(CapabilityError, match="GPT2LMHeadModel is no encoder"):
        train(reviews(tmp_path / "r.jsonl"), recipe="classify-small", init=tmp_path / "gpt2", out=tmp_path / "out")


@pytest.mark.parametrize(
    ("recipe", "setting", "message"),
    [
        ("answer-small", "objective.class_weights=balanced", "does nothing with objective.kind='spans'"),
        ("classify-small", "objective.stride=5", "does nothing with objective.kind='classes'"),
        ("bert-tiny", "run.held_out=0.2", "run.held_out=0.2 does nothing"),
        ("classify-small", "run.epochs=0", "out of range"),
        ("classify-small", "run.held_out=1", "out of range"),
        ("classify-small", "model.dim=4", "missing|does nothing"),
        ("classify-small", "schedule.warmup=-1", "out of range"),
    ],
)
def test_settings_that_do_nothing_or_are_wrong_are_refused(recipe: str, setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(recipe, [setting])


def test_without_a_length_a_recipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        'description = "x"\n[objective]\nkind = "tags"\n[batch]\nseq_len = 8\ntokens = 8\n[run]\nseed = 1\n'
    )
    with pytest.raises(ConfigError, match=r"missing run\.steps.*run\.epochs"):
        load_recipe(path)


def test_balanced_classes_weigh_alike(given: Path, tmp_path: Path) -> None:
    from sensorium.training.given import Given
    from sensorium.training.heads import build_head_objective
    from sensorium.training.labelled import open_labelled

    data = tmp_path / "r.jsonl"
    rows = [{"text": f"{PEOPLE[i % 4]} went to Rome in {1990 + i}.", "label": "ab"[i % 4 == 0]} for i in range(16)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = load_recipe("classify-small", ["objective.class_weights=balanced", "run.held_out=0"])
    source = open_labelled(data, recipe, Given.open(given, recipe).tokenizer)
    assert build_head_objective(recipe, source)._weights.tolist() == pytest.approx([16 / (2 * 12), 16 / (2 * 4)])


@pytest.mark.parametrize(("recipe", "kept"), [("answer-small", False), ("tag-small", False), ("classify-small", True)])
def test_a_pooler_is_kept_where_something_reads_it(given: Path, tmp_path: Path, recipe: str, kept: bool) -> None:
    pooled = shutil.copytree(given, tmp_path / "pooled")
    hf.BertModel.from_pretrained(given).save_pretrained(pooled)
    before = load_file(pooled / "model.safetensors")
    data = MAKE[recipe](tmp_path)
    train(data, recipe=recipe, init=pooled, out=tmp_path / "out", overrides=[*SHORT, "run.epochs=1", "optim.lr=0"],
          show_progress=False)  # fmt: skip
    after = {key: value for key, value in load_file(tmp_path / "out" / "model.safetensors").items() if "pooler" in key}
    assert bool(after) is kept
    assert all(torch.equal(before[key.removeprefix("bert.")], value) for key, value in after.items())
