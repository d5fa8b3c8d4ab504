"""A folder that holds no model of text says what it is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers as hf

from sensorium.errors import CapabilityError
from sensorium.inference.open import open_engine


def test_a_model_of_pictures_has_no_words_to_say(tmp_path: Path) -> None:
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    hf.ViTModel(hf.ViTConfig(**size, image_size=8, patch_size=4)).save_pretrained(tmp_path)
    with pytest.raises(CapabilityError, match=r"ViTModel sees or hears.*sensorium fuse"):
        open_engine(tmp_path)


@pytest.mark.parametrize(("kind", "verb"), [("aligned", "search"), ("fused", "predict")])
def test_a_folder_of_folders_names_the_verb_that_uses_it(tmp_path: Path, kind: str, verb: str) -> None:
    (tmp_path / "fusion.json").write_text(json.dumps({"kind": kind}))
    with pytest.raises(CapabilityError, match=f"sensorium {verb}"):
        open_engine(tmp_path)
