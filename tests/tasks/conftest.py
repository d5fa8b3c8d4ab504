"""Tiny models, saved once for all task tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sensorium.tasks.model import LanguageModel, load
from tests.inference.conftest import untyped as untyped
from tests.inference.folders import bert, llama, saved


@pytest.fixture(scope="session")
def encoder(tmp_path_factory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("tasks") / "encoder"
    return saved(bert(), folder, "encoder"), folder


@pytest.fixture(scope="session")
def decoder(tmp_path_factory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp("tasks") / "decoder"
    return saved(llama(), folder, "decoder"), folder


@pytest.fixture(scope="session")
def masked(encoder) -> LanguageModel:
    return load(encoder[1])


@pytest.fixture(scope="session")
def causal(decoder) -> LanguageModel:
    return load(decoder[1])
