"""What the tests of engines share."""

from __future__ import annotations

import jaxtyping
import pytest


@pytest.fixture
def untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls as a user makes them, without the types that the tests hold every call to."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
