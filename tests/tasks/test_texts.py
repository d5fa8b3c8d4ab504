"""Texts that no tokenizer can read are refused by name."""

from __future__ import annotations

import pytest

from sensorium.errors import InputError


def test_text_that_is_no_unicode_is_refused(masked, causal) -> None:
    broken = b"caf\xe9 [MASK]".decode("utf-8", "surrogateescape")
    for use in (causal.generate, causal.score, masked.fill_mask, masked.score):
        with pytest.raises(InputError, match="not valid Unicode at character 4"):
            use(broken)
        with pytest.raises(InputError, match=r"(text|prompt) 2: "):
            use(["a [MASK]", broken])
    with pytest.raises(InputError, match="not valid Unicode"):
        causal.stream(broken)


def test_null_bytes_and_odd_spaces_pass_through(causal) -> None:
    text = "a\x00b\u3000\u200d 🌸"
    assert causal.score(text).n_bytes == len(text.encode())
    assert causal.generate(text, max_new_tokens=2).usage.prompt_tokens > 5
