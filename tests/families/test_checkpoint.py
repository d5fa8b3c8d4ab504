"""Weights that are damaged, incomplete or of another model are refused in one clear error; others keep every bit."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from sensorium.core.model import Transformer
from sensorium.errors import CheckpointError, SensoriumError
from sensorium.families.checkpoint import INDEX, WEIGHTS, read_model, write_model
from tests.core import models

MANY = settings(max_examples=150, derandomize=True)
MODELS: dict[str, Callable[[], Transformer]] = {
    "bert": lambda: models.built(models.bert()),
    "gpt2": lambda: models.built(models.gpt2()),
    "llama": lambda: models.built(models.llama(tied=False)),
    "qwen3": lambda: models.built(models.llama(qk_norm=True)),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole folder, which no test changes."""
    folder = tmp_path_factory.mktemp("saved")
    write_model(folder, MODELS["llama"]())
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    folder = tmp_path / "sharded"
    folder.mkdir()
    write_model(folder, MODELS["llama"](), max_shard_bytes=8000)
    return folder


def refused(folder: Path, match: str | None = None) -> CheckpointError:
    """The one error, which says what, where and what to do."""
    with pytest.raises(CheckpointError, match=match) as caught:
        read_model(folder)
    error = caught.value
    assert error.where is not None
    assert error.where.startswith(str(folder))
    assert error.fix
    assert "\n" not in str(error)
    return error


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def rewrite_json(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def bits(model: Transformer) -> dict[str, torch.Tensor]:
    whole = {2: torch.int16, 4: torch.int32}
    return {name: p.data.view(whole[p.element_size()]).clone() for name, p in model.named_parameters()}


def same_bits(one: Transformer, other: Transformer) -> bool:
    first, second = bits(one), bits(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# Damaged files


def test_weights_truncated_at_any_byte_are_refused(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = Path(shutil.copytree(saved, tmp_path_factory.mktemp("truncated") / "model"))
    whole = (folder / WEIGHTS).read_bytes()

    @MANY
    @given(st.one_of(st.integers(0, 3000), st.integers(0, len(whole) - 1)))
    def check(length: int) -> None:
        (folder / WEIGHTS).write_bytes(whole[:length])
        refused(folder, "truncated or corrupt")

    check()


def test_a_damaged_header_is_refused_or_read_as_it_says(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = Path(shutil.copytree(saved, tmp_path_factory.mktemp("damaged") / "model"))
    whole = (folder / WEIGHTS).read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")

    @MANY
    @given(st.integers(0, header - 1), st.binary(min_size=1, max_size=9))
    def check(place: int, patch: bytes) -> None:
        (folder / WEIGHTS).write_bytes(whole[:place] + patch + whole[place + len(patch) :])
        error = problem(folder)
        # None: the patch changed nothing that counts, or a number format to another of the same width.
        assert error is None or isinstance(error, CheckpointError)

    check()


def problem(folder: Path) -> SensoriumError | None:
    try:
        read_model(folder)
    except SensoriumError as error:
        return error
    return None


@MANY
@given(st.binary(max_size=100), st.booleans())
def test_random_bytes_are_no_weights(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, content: bytes, framed: bool
) -> None:
    folder = tmp_path_factory.mktemp("random")
    shutil.copy(saved / "config.json", folder)
    (folder / WEIGHTS).write_bytes(len(content).to_bytes(8, "little") + content if framed else content)
    refused(folder)
    shutil.rmtree(folder)


# Files that are not there, or not what they should be


def test_a_folder_without_weights_says_so(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert "save_pretrained" in str(refused(folder, rf"no {WEIGHTS}\."))


class _Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def test_pickled_weights_are_refused_and_never_opened(folder: Path, tmp_path: Path) -> None:
    (folder / WEIGHTS).unlink()
    marker = tmp_path / "code-has-run"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"lm_head.weight": _Bomb(marker)}))
    error = refused(folder, r"only pytorch_model\.bin, which may run code")
    assert "safetensors" in str(error.fix)
    from sensorium.inference.transformers_engine import TransformersEngine

    with pytest.raises(CheckpointError):
        TransformersEngine.open(folder)
    assert not marker.exists()
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert marker.exists(), "the file would have run code"


def test_a_missing_shard_is_named(sharded: Path) -> None:
    second = sorted(sharded.glob("model-*.safetensors"))[1]
    second.unlink()
    refused(sharded, f"shard {second.name} is missing")


def test_a_truncated_shard_is_named(sharded: Path) -> None:
    last = sorted(sharded.glob("model-*.safetensors"))[-1]
    last.write_bytes(last.read_bytes()[:-1])
    assert refused(sharded, "truncated or corrupt").where == str(last)


@pytest.mark.parametrize("escape", ["../outside.safetensors", "{outside}", "inner/../../outside.safetensors", ".."])
def test_an_index_that_points_outside_the_folder_is_refused(sharded: Path, escape: str) -> None:
    first = sorted(sharded.glob("model-*.safetensors"))[0]
    outside = sharded.parent / "outside.safetensors"
    first.rename(outside)
    (sharded / "inner").mkdir()
    target = escape.format(outside=outside)
    rewrite_json(
        sharded / INDEX,
        lambda index: index["weight_map"].update(
            {name: target for name, file in index["weight_map"].items() if file == first.name}
        ),
    )
    refused(sharded, f"outside the folder: {target!r}")


def test_an_index_that_names_what_no_shard_holds_is_refused(sharded: Path) -> None:
    file = sorted(sharded.glob("model-*.safetensors"))[0].name
    rewrite_json(sharded / INDEX, lambda index: index["weight_map"].update(ghost=file))
    refused(sharded, "tensors that no shard holds: ghost")


def test_a_damaged_index_is_refused(sharded: Path) -> None:
    strings = st.dictionaries(st.text(max_size=4), st.one_of(st.text(max_size=9), st.none(), st.integers()))
    values = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2), strings)
    whole = values.map(lambda value: json.dumps({"weight_map": value}).encode())

    @MANY
    @given(st.one_of(whole, values.map(lambda value: json.dumps(value).encode()), st.binary(max_size=40)))
    def check(content: bytes) -> None:
        (sharded / INDEX).write_bytes(content)
        refused(sharded)

    check()


# Weights of another model


def test_all_that_does_not_fit_is_told_at_once(folder: Path) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["model.norm.weight"], tensors["model.layers.1.mlp.up_proj.weight"]
        tensors["model.layers.0.self_attn.q_proj.bias"] = torch.zeros(32)
        tensors["model.layers.0.mlp.down_proj.weight"] = torch.zeros(7, 48)
        tensors["lm_head.weight"] = tensors["lm_head.weight"].to(torch.int8)

    rewrite(folder, change)
    message = str(refused(folder))
    assert "missing model.layers.1.mlp.up_proj.weight, model.norm.weight" in message
    assert "unknown model.layers.0.self_attn.q_proj.bias" in message
    assert "mis-shaped model.layers.0.mlp.down_proj.weight is [7, 48], the configuration says [24, 48]" in message
    assert "of whole numbers lm_head.weight (torch.int8)" in message


def test_a_long_list_is_cut_and_counted(folder: Path) -> None:
    rewrite(folder, lambda tensors: [tensors.pop(name) for name in list(tensors) if ".layers.1." in name])
    refused(folder, r"missing (model\.layers\.1\.[\w.]+, ){7}model\.layers\.1\.[\w.]+ and 1 more")


def test_fewer_layers_than_the_weights_hold_are_not_passed_over(folder: Path) -> None:
    rewrite_json(folder / "config.json", lambda config: config.update(num_hidden_layers=1))
    refused(folder, r"unknown model\.layers\.1\.")


def test_a_missing_output_matrix_is_not_made_up(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.pop("lm_head.weight"))
    refused(folder, r"missing lm_head\.weight")


def test_tied_matrices_may_be_stored_twice_but_not_differ(folder: Path) -> None:
    rewrite_json(folder / "config.json", lambda config: config.update(tie_word_embeddings=True))
    refused(folder, r"tied by the configuration, but stored with other values lm_head\.weight")
    rewrite(folder, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}))
    assert read_model(folder).model.config.language.tied
    rewrite(folder, lambda tensors: tensors.pop("model.embed_tokens.weight"))
    assert read_model(folder).model.config.language.tied


def test_buffers_of_older_checkpoints_are_passed_over(folder: Path, tmp_path: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}))
    assert same_bits(read_model(folder).model, MODELS["llama"]())
    for name, buffer in (("bert", "bert.embeddings.position_ids"), ("gpt2", "transformer.h.0.attn.bias")):
        (tmp_path / name).mkdir()
        write_model(tmp_path / name, MODELS[name]())
        rewrite(tmp_path / name, lambda tensors, buffer=buffer: tensors.update({buffer: torch.ones(1, 4)}))
        assert same_bits(read_model(tmp_path / name).model, MODELS[name]())


def test_older_spellings_of_names_are_understood(tmp_path: Path) -> None:
    respelled = {
        "bert": lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("Norm.bias", "Norm.beta"),
        "gpt2": lambda name: name.removeprefix("transformer."),
    }
    for kind, old in respelled.items():
        folder = tmp_path / kind
        folder.mkdir()
        write_model(folder, MODELS[kind]())
        tensors = load_file(folder / WEIGHTS)
        save_file({old(name): tensor for name, tensor in tensors.items()}, folder / WEIGHTS)
        assert same_bits(read_model(folder).model, MODELS[kind]())


# Whole ones


def with_random_bits(kind: str, dtype: torch.dtype) -> Transformer:
    """Every kind of number that a format can hold: NaNs with a payload, infinities, denormals, minus zero."""
    model = MODELS[kind]().to(dtype)
    generator = torch.Generator().manual_seed(1)
    integers = {2: torch.int16, 4: torch.int32}
    for parameter in model.parameters():
        whole = integers[parameter.element_size()]
        limits = torch.iinfo(whole)
        drawn = torch.randint(limits.min, limits.max, parameter.shape, generator=generator, dtype=torch.int64)
        parameter.data = drawn.to(whole).view(dtype)
    return model


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_writing_and_reading_keeps_every_bit(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = with_random_bits(kind, dtype)
    write_model(tmp_path, model, dtype=dtype)
    loaded = read_model(tmp_path, dtype=dtype)
    assert same_bits(loaded.model, model)
    assert loaded.model.config == model.config
    assert loaded.config["dtype"] == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("kind", MODELS)
def test_shards_keep_every_bit_and_their_size(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    model = with_random_bits(kind, torch.float32)
    total = sum(parameter.numel() for parameter in model.parameters()) * 4

    @settings(max_examples=15, derandomize=True)
    @given(st.integers(1, total + 1))
    def check(limit: int) -> None:
        folder = tmp_path_factory.mktemp("shards")
        write_model(folder, model, max_shard_bytes=limit)
        assert same_bits(read_model(folder).model, model)
        if limit >= total:
            assert [path.name for path in folder.glob("*.safetensors*")] == [WEIGHTS]
            return
        index = json.loads((folder / INDEX).read_text())
        assert index["metadata"]["total_size"] == total
        shards = {name: load_file(folder / name) for name in set(index["weight_map"].values())}
        assert {path.name for path in folder.glob("*.safetensors")} == shards.keys()
        for name, tensors in shards.items():
            assert {key for key, file in index["weight_map"].items() if file == name} == tensors.keys()
            sizes = [tensor.numel() * 4 for tensor in tensors.values()]
            assert sum(sizes) <= limit or len(sizes) == 1

    check()


_FILL_A_DISK = """
import sys
from sensorium.families.checkpoint import write_model
from sensorium.files import DiskError
from tests.families.test_checkpoint import MODELS
try:
    write_model(sys.argv[1], MODELS["llama"](), max_shard_bytes=int(sys.argv[2]))
except DiskError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [8000, 10**9])
def test_a_full_disk_is_one_clear_error(limit: int, tmp_path: Path) -> None:
    alone = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=16k none {tmp_path}"
    if shutil.which("unshare") is None or subprocess.run([*alone, mount], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    run = f'{mount} && "$0" -c "$1" {tmp_path} {limit}'
    done = subprocess.run([*alone, run, sys.executable, _FILL_A_DISK], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no space left on the device" in done.stdout
    assert str(tmp_path) in done.stdout
