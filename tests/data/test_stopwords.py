"""Stop words: lists for many languages or one's own, a column beside a text that stays as it is."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import stopwordsiso
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from sensorium.data.stages import Mapper, documents, with_column
from sensorium.data.stopwords import StopWords, content_words, languages, read_stop_words, stop_words
from sensorium.errors import InputError

TEXTS = ["The cat sat on the mat, and it didn’t move.", "我们的房子在北京的郊区", "Le chat est sur la table"]


def test_the_lists_are_the_packages_and_cover_fifty_languages() -> None:
    assert len(languages()) >= 50
    assert {"en", "zh", "ja", "ar", "hi", "sw", "fr"} <= set(languages())
    assert set(stop_words("zh")) == stopwordsiso.stopwords("zh")
    assert len(ENGLISH_STOP_WORDS - stop_words("en")) < 0.05 * len(ENGLISH_STOP_WORDS)
    assert stop_words("zh-Hans") == stop_words("zh") == stop_words("ZH-TW")
    with pytest.raises(InputError, match="unknown language with stop words 'xx'"):
        stop_words("xx")


def test_content_words_are_what_is_left() -> None:
    assert content_words(TEXTS[0], "en") == ["cat", "sat", "mat"]
    assert content_words(TEXTS[1], "zh") == ["房子", "北京", "郊区"]
    assert content_words("The cat", "tlh") == content_words("The cat", None) == ["the", "cat"]
    assert content_words("The cat", "en", without={"cat"}) == ["the"]


def test_the_stage_adds_a_column_and_keeps_the_text() -> None:
    import pyarrow as pa

    batch = documents(TEXTS, ["1", "2", "3"])
    spoken = with_column(batch, "language", pa.array(["en", "zh-Hans", None], pa.string()))
    stage = StopWords()
    assert isinstance(stage, Mapper)
    assert pickle.loads(pickle.dumps(stage)) == stage
    done = stage.map(spoken)
    assert done.batch.column("text").equals(batch.column("text"))
    assert done.batch.column("content_words").to_pylist() == [
        "cat sat mat", "房子 北京 郊区", "le chat est sur la table",
    ]  # fmt: skip
    assert done.counts == {"content words": 12}
    french = StopWords(language="fr").map(batch).batch.column("content_words").to_pylist()
    assert french[2] == "chat table"
    with pytest.raises(InputError, match="Put the stage Identify before it"):
        stage.map(batch)
    with pytest.raises(InputError, match="unknown language"):
        StopWords(language="xx")


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "stop.txt"
    path.write_text("\ufeffThe\ncat # an animal\n\n# a remark\n猫\n", encoding="utf-8")
    assert read_stop_words(path) == {"the", "cat", "猫"}
    batch = documents(["The cat and 猫 sat"], ["1"])
    assert StopWords(files=(path,)).map(batch).batch.column("content_words").to_pylist() == ["and sat"]
    with pytest.raises(InputError, match=r"missing\.txt"):
        StopWords(files=(tmp_path / "missing.txt",))
    (tmp_path / "empty.txt").write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(InputError, match="no stop word in it"):
        read_stop_words(tmp_path / "empty.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read_stop_words(tmp_path / "latin.txt")
