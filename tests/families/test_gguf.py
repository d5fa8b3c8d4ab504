"""GGUF files give the model and the tokenizer that they were written from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.core.cache import KVCache
from sensorium.errors import CapabilityError, CheckpointError, InputError, SensoriumError
from sensorium.families.gguf import TYPES, read_gguf
from sensorium.families.gguf_codes import KINDS
from sensorium.inference.one_row import OneRow
from tests.families.gguf_files import TEXTS, THETA, stock, tokenizer, tokenizer_fields, write

BACKEND = tokenizer()
VOCAB = BACKEND.get_vocab_size()
MANY = settings(max_examples=150, derandomize=True)


def logits_agree(path: Path, theirs: Any) -> None:
    ours = read_gguf(path).model
    ids = torch.arange(40).reshape(2, 20)
    expected = theirs(ids).logits
    torch.testing.assert_close(ours.logits(ours(ids)), expected, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", TYPES)
def test_a_file_gives_the_model_that_it_was_written_from(kind: str, tmp_path: Path) -> None:
    model = stock(VOCAB, dim=256 if kind.endswith("K") else 64)
    write(tmp_path / "m.gguf", model, BACKEND, kind)
    logits_agree(tmp_path / "m.gguf", model)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("Llama", dict(tie_word_embeddings=False)),
        ("Llama", dict(attention_bias=False, head_dim=24)),
        ("Llama", dict(rope_parameters={"rope_type": "linear", "rope_theta": THETA, "factor": 3.0})),
        ("Qwen2", dict()),
        ("Qwen3", dict(head_dim=32)),
        ("Qwen3", dict(tie_word_embeddings=False)),
    ],
)
def test_the_options_of_each_family_are_carried_over(family: str, options: dict[str, Any], tmp_path: Path) -> None:
    model = stock(VOCAB, family, **options)
    scaling = {"llama__rope__scaling__type": "linear", "llama__rope__scaling__factor": 3.0}
    write(tmp_path / "m.gguf", model, BACKEND, "Q8_0", **scaling if "rope_parameters" in options else {})
    logits_agree(tmp_path / "m.gguf", model)


def test_the_tokenizer_of_a_file_gives_the_same_ids_and_text(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", stock(VOCAB), BACKEND, tokenizer__chat_template="{{ messages }}")
    loaded = read_gguf(tmp_path / "m.gguf")
    for text in TEXTS[:3]:
        assert loaded.tokenizer.encode(text).ids == BACKEND.encode(text).ids
        assert loaded.tokenizer.decode(loaded.tokenizer.encode(text).ids) == text
    assert loaded.special == {"eos": "<|end|>", "bos": "<|begin|>"}
    assert loaded.tokenizer.encode("a<|end|>").ids[-1] == 0
    assert loaded.chat_template == "{{ messages }}"


@pytest.mark.parametrize(
    ("fields", "before", "after"),
    [
        ({}, [], []),
        ({"tokenizer__ggml__add_bos_token": True}, [1], []),
        ({"tokenizer__ggml__add_bos_token": True, "tokenizer__ggml__add_eos_token": True}, [1], [0]),
        ({"tokenizer__ggml__pre": "llama-bpe"}, [1], []),
        ({"tokenizer__ggml__pre": "llama-bpe", "tokenizer__ggml__add_bos_token": False}, [], []),
    ],
)
def test_texts_begin_and_end_as_the_file_says(
    fields: dict[str, Any], before: list[int], after: list[int], tmp_path: Path
) -> None:
    write(tmp_path / "m.gguf", stock(VOCAB), BACKEND, **fields)
    backend = read_gguf(tmp_path / "m.gguf").tokenizer
    plain = backend.encode("the cat", add_special_tokens=False).ids
    assert backend.encode("the cat").ids == [*before, *plain, *after]


@pytest.mark.parametrize(("pre", "count"), [("llama-bpe", 1), ("smollm", 5)])
def test_llama_3_finds_whole_words_that_no_merge_makes(pre: str, count: int, tmp_path: Path) -> None:
    usual = tokenizer_fields(BACKEND)
    tokens, merges = usual["tokenizer.ggml.tokens"], usual["tokenizer.ggml.merges"]
    fields = {"tokenizer__ggml__tokens": [*tokens[:-1], "zqxjk"], "tokenizer__ggml__merges": merges[:-1]}
    write(tmp_path / "m.gguf", stock(VOCAB), BACKEND, **fields, tokenizer__ggml__pre=pre)
    assert len(read_gguf(tmp_path / "m.gguf").tokenizer.encode("zqxjk", add_special_tokens=False).ids) == count


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"general__architecture": "falcon"}, "falcon"),
        ({"tokenizer__ggml__pre": "martian"}, "martian"),
        ({"tokenizer__ggml__model": "bert"}, "bert"),
        ({"llama__rope__scaling__type": "yarn"}, "yarn"),
        ({"llama__rope__dimension_count": 8}, "a rotation of 8 dimensions of each head"),
        ({"llama__rope__scale_linear": 0.25}, r"rope\.scale_linear=0\.25"),
        ({"llama__attention__sliding_window": 16}, r"sliding_window=16"),
    ],
)
def test_what_is_not_supported_is_named(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", stock(VOCAB), BACKEND, **fields)
    with pytest.raises(CapabilityError, match=message) as caught:
        read_gguf(tmp_path / "m.gguf")
    assert str(caught.value).startswith(str(tmp_path / "m.gguf"))
    assert caught.value.fix


def test_a_quantisation_that_is_not_supported_is_named(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", stock(VOCAB, dim=256), BACKEND, "TQ2_0")
    with pytest.raises(CapabilityError, match=r"is quantised as TQ2_0, which is not supported \(supported: F32, "):
        read_gguf(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"llama__rope__freq_base": None}, r"lacks llama\.rope\.freq_base"),
        ({"general__architecture": None}, r"lacks general\.architecture"),
        ({"tokenizer__ggml__merges": None}, r"lacks tokenizer\.ggml\.merges"),
        ({"llama__attention__head_count": 0}, r"attention\.head_count=0 is not a whole number above 0"),
        ({"llama__attention__head_count": "four"}, r"attention\.head_count='four'"),
        ({"llama__attention__head_count_kv": 3}, r"n_heads=4 is not a multiple of n_kv_heads=3"),
        ({"llama__attention__key_length": 20, "llama__rope__dimension_count": 20}, "mis-shaped"),
        ({"llama__block_count": 3}, r"missing model\.layers\.2\."),
        ({"llama__block_count": 4_000_000_000}, r"num_hidden_layers=4000000000, but the weights have only \d+ tensors"),
        ({"llama__block_count": 1}, r"unknown model\.layers\.1\."),
        ({"llama__attention__layer_norm_rms_epsilon": "small"}, "rms_norm_eps='small' is not a number"),
        ({"tokenizer__ggml__tokens": ["a", "b"]}, "mis-shaped"),
        ({"tokenizer__ggml__tokens": "abc"}, "not a list of strings"),
        ({"tokenizer__ggml__merges": ["nonsense merge"]}, "the tokenizer cannot be read"),
        ({"tokenizer__ggml__bos_token_id": "one"}, "the tokenizer cannot be read"),
        ({"general__alignment": 0}, "its alignment is 0"),
    ],
)
def test_what_does_not_fit_is_told_with_the_file(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", stock(VOCAB), BACKEND, **fields)
    with pytest.raises(SensoriumError, match=message) as caught:
        read_gguf(tmp_path / "m.gguf")
    assert caught.value.exit_code == 2
    assert caught.value.fix
    assert str(caught.value).startswith(str(tmp_path / "m.gguf"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    write(path, stock(VOCAB), BACKEND)
    return path.read_bytes()


def problem(path: Path) -> SensoriumError | None:
    try:
        read_gguf(path)
    except SensoriumError as error:
        return error
    return None


def refused(folder: Path, content: bytes) -> CheckpointError:
    path = folder / "damaged.gguf"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_gguf(path)
    assert str(caught.value).startswith(str(path))
    assert caught.value.fix
    return caught.value


def test_a_file_truncated_at_any_byte_is_refused(whole: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("truncated")

    @MANY
    @given(st.one_of(st.integers(0, 20_000), st.integers(0, len(whole) - 1)))
    def check(length: int) -> None:
        refused(folder, whole[:length])

    check()


def test_a_damaged_header_gives_a_clear_error_or_another_model(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "damaged.gguf"

    @MANY
    @given(st.one_of(st.integers(0, 1200), st.integers(0, 12_000)), st.binary(min_size=1, max_size=9))
    def check(place: int, patch: bytes) -> None:
        path.write_bytes(whole[:place] + patch + whole[place + len(patch) :])
        error = problem(path)
        assert error is None or (error.exit_code == 2 and str(path) in str(error))

    check()


@MANY
@given(st.binary(max_size=200), st.sampled_from([b"", b"GGUF", b"GGUF\3\0\0\0", b"GGUF\3\0\0\0" + b"\1" + b"\0" * 7]))
def test_random_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes, start: bytes) -> None:
    refused(tmp_path_factory.getbasetemp(), start + content)


@pytest.mark.parametrize("kind", range(14))
def test_a_length_beyond_the_file_is_refused_at_once(kind: int, tmp_path: Path) -> None:
    one_field = b"GGUF\3\0\0\0" + (0).to_bytes(8, "little") + (1).to_bytes(8, "little")
    field = (3).to_bytes(8, "little") + b"key" + (9).to_bytes(4, "little") + kind.to_bytes(4, "little")
    refused(tmp_path, one_field + field + (1 << 62).to_bytes(8, "little"))


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_gguf(tmp_path / "nowhere.gguf")


@pytest.mark.parametrize("kind", TYPES)
def test_the_codes_of_a_file_say_exactly_what_the_dequantised_weights_say(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", stock(VOCAB, dim=256 if kind.endswith("K") else 64), BACKEND, kind)
    loaded = read_gguf(tmp_path / "m.gguf")
    parameters = dict(loaded.model.named_parameters())
    assert bool(loaded.codes) == (kind in KINDS)
    for name, codes in loaded.codes.items():
        assert torch.equal(torch.from_numpy(codes.dense()), parameters[name].detach()), name
    if kind in KINDS:
        assert {name for name, weight in parameters.items() if weight.dim() == 2} == loaded.codes.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_from_codes_equals_decoding_from_fp32(kind: str, tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", stock(VOCAB), BACKEND, kind)
    loaded = read_gguf(tmp_path / "m.gguf")
    ids = torch.arange(3, 15)[None]
    expected = loaded.model.logits(loaded.model(ids))[0]
    row = OneRow(loaded.model, loaded.codes)
    cache = KVCache(loaded.model.config.stack, batch=1, capacity=12)
    with torch.inference_mode():
        for place in range(12):
            step = torch.from_numpy(row.step(int(ids[0, place]), cache))
            torch.testing.assert_close(step, expected[place], atol=2e-5, rtol=1e-5)
