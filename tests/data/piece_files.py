"""Small SentencePiece models, trained by the `sentencepiece` package on the bundled English and Chinese texts."""

from __future__ import annotations

import gzip
import io
import json
from functools import cache
from pathlib import Path
from typing import Any
from unicodedata import normalize

import sentencepiece
from hypothesis import strategies as st

import sensorium

CORPUS = Path(sensorium.__file__).parent / "assets" / "corpus"
T5 = dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
"""Where T5's models have their special pieces."""
FAIRSEQ = dict(unk_id=0, bos_id=1, eos_id=2)


@cache
def lines() -> tuple[str, ...]:
    """A few hundred lines of each language."""
    found = list[str]()
    for name in ("austen", "poetry"):
        with gzip.open(CORPUS / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            text = "\n".join(json.loads(file.readline())["text"] for _ in range(3))
        found += [line.strip()[:300] for line in text.splitlines() if line.strip()][:400]
    return tuple(found)


@cache
def _trained(language: str, options: str) -> bytes:
    half = {"both": lines(), "en": [x for x in lines() if x.isascii()], "zh": [x for x in lines() if not x.isascii()]}
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(half[language]), model_writer=model, minloglevel=2, hard_vocab_limit=False,
        **dict(vocab_size=700, character_coverage=0.99) | json.loads(options),
    )  # fmt: skip
    return model.getvalue()


def trained(language: str = "both", **options: Any) -> bytes:
    """The bytes of a model's file."""
    return _trained(language, json.dumps(options))


def processor(data: bytes) -> Any:
    """The `sentencepiece` package's own tokenizer."""
    return sentencepiece.SentencePieceProcessor(model_proto=data)


_CHARACTERS = (
    "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789.,;:!?'\"()[]{}<>/\\|@#$%^&*-_=+~`   \t\n\r"
    "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生，。！？：；“”‘’（）《》、…—"
    "ＡＢＣａｂｃ１２３！？，．　éèüñçßœÉ½①ﬁ™℃㎏☃🙂👍\u200b\u00a0\u2028"
)
TEXTS = st.one_of(
    st.text(st.sampled_from(_CHARACTERS), max_size=40),
    st.lists(st.sampled_from(sorted({word for line in lines() for word in line.split()})), max_size=12).map(" ".join),
    st.text(st.sampled_from("éüệạễãがぱガグ한국말ёйÅｶｷＡab "), max_size=20).map(lambda text: normalize("NFD", text)),
    st.sampled_from(lines()).flatmap(lambda line: st.integers(0, len(line)).map(lambda start: line[start:])),
)
"""English, Chinese, what else stands in such texts, and letters with their accents apart."""
