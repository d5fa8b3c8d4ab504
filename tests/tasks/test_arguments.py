"""Arguments of another type are refused by name, as a user meets it; a string alone is a list of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sensorium.errors import InputError

TEXT = "a [MASK] b"


@pytest.mark.parametrize("given", [5, None, 2.5, b"a [MASK]", [5], [TEXT, None]])
def test_what_is_no_text_is_refused(masked, causal, untyped, given: Any) -> None:
    for use in (masked.fill_mask, masked.score, causal.generate, causal.score):
        with pytest.raises(InputError, match=r"expected a (text|prompt) as a string, got"):
            use(given)
    with pytest.raises(InputError, match="expected a prompt as a string, got"):
        causal.stream(given)


@pytest.mark.parametrize("top_k", [2.0, "2", None])
def test_a_number_of_candidates_is_whole(masked, untyped, top_k: Any) -> None:
    with pytest.raises(InputError, match=r"top_k=.* is not a whole number.*1 or more"):
        masked.fill_mask(TEXT, top_k=top_k)


@pytest.mark.parametrize("name", ["max_new_tokens", "top_k", "seed"])
@pytest.mark.parametrize("value", [5.0, "5"])
def test_a_number_of_tokens_is_whole(causal, untyped, name: str, value: Any) -> None:
    for use in (causal.generate, causal.stream):
        with pytest.raises(InputError, match=f"{name}=.* is not a whole number"):
            use("a", **{name: value})


def test_other_arguments_are_checked_too(masked, causal, untyped) -> None:
    with pytest.raises(InputError, match="temperature='hot' is not a number"):
        causal.generate("a", temperature="hot")
    with pytest.raises(InputError, match=r"stride=2\.5 is not a whole number"):
        causal.score("ab" * 99, stride=2.5)
    with pytest.raises(InputError, match="expected a stop string as a string, got int"):
        causal.generate("a", stop=[5])
    with pytest.raises(InputError, match="expected a target as a string, got int"):
        masked.fill_mask(TEXT, targets=5)
    assert causal.generate("a", max_new_tokens=np.int64(2)).usage.completion_tokens <= 2


def test_a_string_alone_is_one_target_or_one_stop_string(masked, causal) -> None:
    assert masked.fill_mask(TEXT, targets="the") == masked.fill_mask(TEXT, targets=["the"])
    with pytest.raises(InputError, match="'banana' is 4 tokens"):
        masked.fill_mask(TEXT, targets="banana")
    options = {"max_new_tokens": 20, "seed": 1}
    assert causal.generate("a", stop="th", **options) == causal.generate("a", stop=["th"], **options)


def test_an_empty_list_has_empty_results(masked, causal) -> None:
    assert masked.fill_mask([]) == masked.score([]) == causal.generate([]) == causal.score([]) == []
