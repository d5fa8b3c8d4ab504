"""Translations: the languages told, long texts parted, what must be kept kept, words aligned."""

from __future__ import annotations

import json

import pytest
import torch
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, InputError
from sensorium.tasks.align import words
from sensorium.tasks.kept import placeholders
from sensorium.tasks.model import LanguageModel, load
from sensorium.tasks.wish import wish_of
from tests.inference.folders import TOKENIZER
from tests.inference.mock import MockSeq2SeqEngine, byte_tokenizer, copying
from tests.inference.seq2seq import CONTEXT, EOS, bart, marian, mbart, saved, t5

BYTES = byte_tokenizer()
TEXTS = ["the cat", "a longer text about the band", "b", "an ant"]


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translate") / "marian"
    return saved(marian(), folder, ending=4.0), folder


@pytest.fixture(scope="module")
def lm(stock) -> LanguageModel:
    return load(stock[1])


def copier(**changed: str) -> LanguageModel:
    """Writes what it reads, with some letters changed."""
    return LanguageModel([MockSeq2SeqEngine(BYTES, copying(BYTES, **changed))], "copier")


def without(letter: str, **changed: str) -> LanguageModel:
    """A copier whose vocabulary does not have a letter."""
    state = json.loads(BYTES.backend.to_str())
    state["model"]["vocab"] = {{letter: "<none>"}.get(k, k): v for k, v in state["model"]["vocab"].items()}
    state["model"]["unk_token"] = "[UNK]"
    tokenizer = Tokenizer(Backend.from_str(json.dumps(state)), dict(BYTES.special))
    return LanguageModel([MockSeq2SeqEngine(tokenizer, copying(tokenizer, **changed))], "copier")


def with_tokens(*names: str) -> Tokenizer:
    """The tests' tokenizer with the last bytes' tokens given to languages, so that the models' vocabulary fits."""
    state = json.loads(TOKENIZER.backend.to_str())
    for name, old in zip(names, ["Ġb", "an", "Ġa"], strict=False):
        state["model"]["merges"] = [pair for pair in state["model"]["merges"] if "".join(pair) != old]
        state["model"]["vocab"] = {name if k == old else k: v for k, v in state["model"]["vocab"].items()}
    backend = Backend.from_str(json.dumps(state))
    backend.add_special_tokens([AddedToken(name, special=True) for name in names])
    return Tokenizer(backend, dict(TOKENIZER.special))


@pytest.mark.parametrize("engine", ["native", "transformers"])
@pytest.mark.parametrize("make", [marian, bart, t5])
def test_translations_are_those_of_generate(make, engine, tmp_path) -> None:
    model = saved(make(), tmp_path, ending=4.0)
    lm = load(tmp_path, engine=engine)
    found = lm.translate(TEXTS, beam=3, n_best=3, max_new_tokens=12, keep_placeholders=False)
    for text, translation in zip(TEXTS, found, strict=True):
        ids = torch.tensor([[*TOKENIZER.encode(text), EOS]])
        out = model.generate(
            ids, num_beams=3, num_return_sequences=3, max_new_tokens=12, do_sample=False, output_scores=True,
            return_dict_in_generate=True,
        )  # fmt: skip
        expected = [TOKENIZER.decode(row.tolist()).strip() for row in out.sequences]
        ranked = [translation, *translation.alternatives]
        assert [one.text for one in ranked] == expected
        assert [one.score for one in ranked] == pytest.approx(out.sequences_scores.tolist(), abs=1e-4)
        assert translation.tokens[:1] != ("[EOS]",)


@pytest.mark.parametrize("said", [{"num_beams": 2}, {"num_beams": 3, "min_length": 8, "renormalize_logits": True}])
def test_a_search_is_as_the_model_says_where_nothing_is_asked(said, tmp_path) -> None:
    model = saved(marian(**said), tmp_path, ending=6.0)
    lm = load(tmp_path)
    lengths = set()
    for text in TEXTS:
        ids = torch.tensor([[*TOKENIZER.encode(text), EOS]])
        out = model.generate(ids, max_new_tokens=16, output_scores=True, return_dict_in_generate=True)
        found = lm.translate(text, max_new_tokens=16, keep_placeholders=False)
        assert found.text == TOKENIZER.decode(out.sequences[0].tolist()).strip()
        assert found.score == pytest.approx(float(out.sequences_scores[0]), abs=1e-4)
        lengths.add(len(found.tokens))
    assert min(lengths) >= 6 if "min_length" in said else min(lengths) < 6


def test_more_beams_than_the_model_has_tokens_are_refused_before_the_first_text(lm) -> None:
    for options in ({"beam": 10_000}, {"n_best": 10_000}):
        with pytest.raises(InputError, match=r"beams=10000 is out of range\. It must be at most \d+"):
            lm.stream_translate(iter(TEXTS), **options)


def test_a_list_gives_what_each_text_gives(lm) -> None:
    assert [t.text for t in lm.translate(TEXTS)] == [lm.translate(text).text for text in TEXTS]
    assert lm.translate([]) == []


def test_white_space_is_its_own_translation(lm) -> None:
    assert [t.text for t in lm.translate(["", "  \n"])] == ["", "  \n"]


def test_an_encoder_decoder_generates_from_a_prompt(stock, lm) -> None:
    written = lm.generate("the cat", max_new_tokens=9)
    ids = torch.tensor([[*TOKENIZER.encode("the cat"), EOS]])
    out = stock[0].generate(ids, max_new_tokens=9, do_sample=False, num_beams=1)[0, 1:].tolist()
    assert list(written.token_ids) == out[: len(written.token_ids)]
    assert "".join(chunk.text for chunk in lm.stream("the cat", max_new_tokens=9)) == written.text


def test_drawing_is_repeatable_and_ends(lm) -> None:
    once = [found.text for found in lm.translate(TEXTS, temperature=1.5, seed=3)]
    assert once == [found.text for found in lm.translate(TEXTS, temperature=1.5, seed=3)]
    assert lm.translate(TEXTS[1], temperature=1.5, seed=3).text == once[1]
    assert len({lm.translate("the band", temperature=2.0, seed=seed).text for seed in range(6)}) > 1


def test_a_long_text_is_translated_by_its_sentences() -> None:
    sentences = ["One day the cat went out.", "It was warm then.", "The dog slept on the mat, as it does."]
    text = "  " + " ".join(sentences) + "\n"
    assert copier().translate(text).text == text
    assert copier(t="T").translate(text).text == text.replace("t", "T")


@pytest.mark.parametrize(
    ("target", "joint"), [("jpn_Jpan", ""), ("khm_Khmr", ""), ("zh-TW", ""), ("bos_Latn", " "), ("en_US", " ")]
)
def test_only_languages_without_spaces_are_joined_without_them(target, joint) -> None:
    engine = MockSeq2SeqEngine(BYTES, copying(BYTES), languages=("en", target))
    assert wish_of(engine, target=target).joint == wish_of(engine).joint == joint


def test_paragraphs_stay_apart() -> None:
    text = "First here.\n\n  Second there.\n \nThird."
    assert copier(e="E").translate(text).text == text.replace("e", "E")


def test_sentences_of_chinese_are_joined_without_a_space() -> None:
    text = "A first sentence, long enough. " * 3
    found = copier().translate(text.strip(), target="zh").text
    assert found == text.replace(". ", ".")


def test_a_sentence_longer_than_the_model_is_named(lm) -> None:
    with pytest.raises(InputError, match=r"text 2: a sentence is \d+ tokens long, the model reads 48: 'word word"):
        lm.translate(["fine", "word " * 40])


def test_no_translation_goes_on_without_end(tmp_path) -> None:
    saved(t5(), tmp_path, ending=-2.0)
    found = load(tmp_path).translate("the cat", beam=1)
    assert len(found.tokens) < CONTEXT + 32


class TestKept:
    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ("Copy %s to {name} or $HOME", ["%s", "{name}", "$HOME"]),
            ("See https://example.org/a?b=c&amp, then <b>go</b>", ["https://example.org/a?b=c&amp", "<b>", "</b>"]),
            ("见 https://example.org/路。", ["https://example.org/"]),
            ("100% of 5 dollars", []),
        ],
    )
    def test_placeholders_and_addresses_are_found(self, text, kept) -> None:
        assert [text[a:b] for a, b in placeholders(text)] == kept

    def test_what_the_model_would_lose_comes_through(self) -> None:
        text = "Copy %s to {name} now"
        found = copier(**{"%": "&", "{": "("}).translate(text)
        assert sorted(text[a:b] for a, b in placeholders(text)) == sorted(
            found.text[a:b] for a, b in placeholders(found.text)
        )
        lost = copier(**{"%": "&", "{": "("}).translate(text, keep_placeholders=False)
        assert lost.text == "Copy &s to (name} now"

    def test_a_random_model_keeps_them_too(self, lm) -> None:
        texts = ["the %s band", "a {x} and {x}", "$A <b>the</b>", "no placeholder"]
        for text, found in zip(texts, lm.translate(texts), strict=True):
            for a, b in placeholders(text):
                spans = placeholders(found.text)
                assert [found.text[c:d] for c, d in spans].count(text[a:b]) == text.count(text[a:b])

    def test_where_no_search_writes_them_the_text_between_is_translated(self) -> None:
        lm = without("%", o="0")
        assert lm.translate("from %s to %d!").text == "fr0m %s t0 %d!"

    def test_of_a_text_put_together_every_word_is_linked_and_every_token_told(self) -> None:
        text = "from %s to  %d! <b>off</b>\n\nAn %s too"
        found = without("%", r="R").translate(text, align=True)
        assert found.text == text.replace("r", "R")
        linked = [(text[slice(*link.source)], found.text[slice(*link.target)]) for link in found.alignment]
        assert linked == [(text[a:b], found.text[a:b]) for a, b in words(text)]
        assert [token for token in found.tokens if token.startswith(("%", "<", "!"))] == [
            "%s", "%d", "!", "<b>", "</b>", "%s",
        ]  # fmt: skip
        assert "".join(found.tokens) == "".join(found.text.split())


class TestGlossary:
    def test_its_terms_appear(self, lm) -> None:
        found = lm.translate(["the file", "a profile", "File it"], glossary={"file": "文件"})
        assert ["文件" in t.text for t in found] == [True, False, True]

    def test_the_longer_term_counts(self) -> None:
        found = copier().translate("the file manager", glossary={"file": "X", "file manager": "Y"})
        assert "Y" in found.text
        assert "X" not in found.text

    def test_a_good_translation_is_left_alone(self) -> None:
        assert copier().translate("the file", glossary={"file": "file"}).text == "the file"

    def test_terms_and_placeholders_together(self, lm) -> None:
        found = lm.translate("the file %d", glossary={"file": "文件"}).text
        assert "文件" in found
        assert "%d" in found

    def test_a_term_that_cannot_be_written_is_named(self) -> None:
        lm = without("Q")
        with pytest.raises(InputError, match=r"'file', 'Quill', cannot be produced"):
            lm.translate("any", glossary={"file": "Quill"})

    def test_a_term_that_does_not_fit_in_is_named_with_its_text(self, lm) -> None:
        with pytest.raises(
            InputError, match=r"text 2: the glossary's 'a very long term' cannot be produced .*'b file'"
        ):
            lm.translate(["a", "b file"], glossary={"file": "a very long term"}, max_new_tokens=6)

    def test_a_placeholder_that_cannot_be_written_is_no_fault_of_the_glossary(self) -> None:
        lm = without("%")
        assert lm.translate("open %s file", glossary={"file": "file"}).text == "open %s file"
        found = lm.translate("open %s file", glossary={"file": "Akte", "open": "auf"}, align=True).text
        assert "auf" in found.split("%s")[0]
        assert "Akte" in found.split("%s")[1]

    def test_of_several_terms_the_missing_one_is_named(self) -> None:
        glossary = {"a cat": "a cat", "dog": "a very long term indeed"}
        with pytest.raises(InputError, match=r"the glossary's 'a very long term indeed' cannot be produced"):
            copier().translate("a cat, dog", glossary=glossary, max_new_tokens=11)
        with pytest.raises(InputError, match=r"the glossary's 'zeig' cannot be produced in .* 'a show %s'"):
            without("%").translate("a show %s", glossary={"a": "a", "show %s": "zeig"})

    @pytest.mark.parametrize("wrong", [{"": "a"}, {"a": " "}, {"a": 3}, ["a"]])
    def test_what_is_no_glossary_is_refused(self, lm, wrong, untyped) -> None:
        with pytest.raises(InputError, match="glossary"):
            lm.translate("a", glossary=wrong)


class TestLanguages:
    def test_marian_is_told_before_the_text(self, tmp_path) -> None:
        tokenizer = with_tokens(">>zho<<", ">>fra<<")
        model = saved(marian(), tmp_path, ending=3.0, tokenizer=tokenizer)
        lm = load(tmp_path)
        for code, token in (("zh", ">>zho<<"), ("fr", ">>fra<<"), ("zh-CN", ">>zho<<")):
            ids = torch.tensor([[tokenizer.id(token), *tokenizer.encode("the dog"), EOS]])
            out = model.generate(ids, num_beams=4, max_new_tokens=9)[0]
            assert lm.translate("the dog", target=code, max_new_tokens=9).text == tokenizer.decode(out.tolist()).strip()
        with pytest.raises(InputError, match=r"several languages .* \(known: fra, zho\)"):
            lm.translate("the dog")
        with pytest.raises(InputError, match=r"unknown target language 'de' \(known: fra, zho\)"):
            lm.translate("the dog", target="de")
        with pytest.raises(InputError, match="unknown language 'klingon'"):
            lm.translate("the dog", source="klingon", target="zh")
        assert lm.translate("the dog", source="en", target="zh") == lm.translate("the dog", target="zh")
        settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
        for named, refused in (("eng", True), ("ROMANCE", False)):
            (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"source_lang": named}))
            lm = load(tmp_path)
            lm.translate("the dog", source="en", target="zh", max_new_tokens=3)
            if refused:
                with pytest.raises(InputError, match=r"unknown source language 'es' \(known: eng\)"):
                    lm.translate("the dog", source="es", target="zh")
            else:
                lm.translate("the dog", source="es", target="zh", max_new_tokens=3)

    def test_mbart_begins_with_the_target_and_marks_the_source(self, tmp_path) -> None:
        from tokenizers.processors import TemplateProcessing

        tokenizer = with_tokens("en_XX", "zh_CN", "fr_XX")
        special = [(name, tokenizer.id(name)) for name in ("[EOS]", "en_XX")]
        tokenizer.backend.post_processor = TemplateProcessing(single="$A [EOS] en_XX", special_tokens=special)
        model = saved(mbart(), tmp_path, ending=3.0)
        tokenizer.save(tmp_path)
        lm = load(tmp_path)
        for source in ("fr", "en"):
            ids = torch.tensor([[*tokenizer.encode("the dog", special=False), EOS, tokenizer.id(f"{source}_XX")]])
            out = model.generate(ids, num_beams=4, max_new_tokens=9, forced_bos_token_id=tokenizer.id("zh_CN"))[0]
            found = lm.translate("the dog", source=source, target="zh", max_new_tokens=9)
            assert found.text == tokenizer.decode(out.tolist()).strip()
            assert found.tokens[0] == "zh_CN"
        with pytest.raises(InputError, match="unknown source language 'xx'"):
            lm.translate("a", source="xx", target="zh")

    def test_t5_is_asked_in_words(self, tmp_path) -> None:
        tasks = {f"translation_en_to_{code}": {"prefix": f"to {code}: "} for code in ("de", "fr")}
        model = saved(t5(task_specific_params=tasks), tmp_path, ending=3.0)
        lm = load(tmp_path)
        ids = torch.tensor([[*TOKENIZER.encode("to de: the dog"), EOS]])
        out = model.generate(ids, num_beams=4, max_new_tokens=9)[0]
        assert (
            lm.translate("the dog", source="en", target="de", max_new_tokens=9).text
            == TOKENIZER.decode(out.tolist()).strip()
        )
        with pytest.raises(InputError, match=r"must be told which \(known: en to de, en to fr\)"):
            lm.translate("a", source="en")
        with pytest.raises(InputError, match="unknown source language 'de'"):
            lm.translate("a", source="de", target="fr")

    def test_a_model_of_one_pair_knows_its_languages(self, stock, tmp_path) -> None:
        saved(marian(), tmp_path)
        settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
        (tmp_path / "tokenizer_config.json").write_text(
            json.dumps(settings | {"source_lang": "eng", "target_lang": "zho"})
        )
        lm = load(tmp_path)
        assert lm.translate("a", source="en", target="zh").text == lm.translate("a").text
        with pytest.raises(InputError, match=r"unknown target language 'fr' \(known: zho\)"):
            lm.translate("a", target="fr")

    def test_a_model_that_names_none_takes_any_known_language(self, lm) -> None:
        assert lm.translate("a", source="en", target="zh") == lm.translate("a")
        with pytest.raises(InputError, match="unknown language 'xx'"):
            lm.translate("a", target="xx")


def test_words_are_linked_by_their_places() -> None:
    found = copier().translate("ab cd 文件", align=True)
    assert found.text == "ab cd 文件"
    assert [(link.source, link.target) for link in found.alignment] == [
        ((0, 2), (0, 2)), ((3, 5), (3, 5)), ((6, 7), (6, 7)), ((7, 8), (7, 8)),
    ]  # fmt: skip
    assert [link.score for link in found.alignment] == pytest.approx([1.0] * 4, abs=1e-5)


def test_a_placeholder_is_one_word() -> None:
    text = "Save <b>it</b>, then %s."
    assert [text[a:b] for a, b in words(text)] == ["Save", "<b>", "it", "</b>", ",", "then", "%s", "."]


def test_words_of_parts_are_linked_in_the_whole() -> None:
    text = "One here.\n\nTwo there."
    found = copier().translate(text, align=True)
    for link in found.alignment:
        assert text[slice(*link.source)] == found.text[slice(*link.target)]


def test_alignment_of_a_real_decoder_stays_within_the_texts(lm) -> None:
    found = lm.translate("the band %s", align=True)
    assert found.alignment
    for link in found.alignment:
        assert 0 <= link.source[0] < link.source[1] <= len("the band %s")
        assert 0 <= link.target[0] < link.target[1] <= len(found.text)
        assert 0 < link.score <= 1


def test_streams_give_what_lists_give(lm) -> None:
    streamed = list(lm.stream_translate(iter(TEXTS), at_once=3))
    assert [found.text for found in streamed] == [found.text for found in lm.translate(TEXTS)]
    with pytest.raises(InputError, match="n_best"):
        lm.stream_translate(iter(TEXTS), n_best=0)
    with pytest.raises(InputError, match="text 2: a sentence"):
        list(lm.stream_translate(iter(["fine", "word " * 40])))


def test_a_wrong_text_of_a_stream_is_named_by_its_place_in_it(lm, untyped) -> None:
    for wrong, complaint in ((3, "expected a text"), ("\ud800", "not valid Unicode")):
        with pytest.raises(InputError, match=f"text 4: .*{complaint}"):
            list(lm.stream_translate(iter([*TEXTS[:3], wrong]), at_once=2, beam=1, max_new_tokens=3))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (dict(beam=0), "beams=0"),
        (dict(beam=2, n_best=3), "n_best=3"),
        (dict(temperature=1.0, beam=4), "sampling draws one text"),
        (dict(top_k=3, n_best=2), "sampling draws one text"),
        (dict(temperature=-1.0), "temperature"),
        (dict(seed=-1), "seed"),
        (dict(max_new_tokens=0), "max_new_tokens"),
        (dict(early_stopping="soon"), "early_stopping"),
        (dict(source=3), "source=3"),
    ],
)
def test_options_out_of_range_are_refused(lm, options, complaint, untyped) -> None:
    with pytest.raises(InputError, match=complaint):
        lm.translate("a", **options)


def test_other_models_do_not_translate(causal) -> None:
    with pytest.raises(CapabilityError, match="cannot translate; it can: generate, score"):
        causal.translate("a")
