"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import settings

# The same examples in every run and no limits of time, so that a run says something about the code and not about the
# machine or the draw. `pytest --hypothesis-profile explore` draws others, and more of them.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile("steady")
