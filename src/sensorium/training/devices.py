"""Where a model is trained: a device by its name."""

from __future__ import annotations

import torch

from sensorium.errors import InputError


def device_of(name: str) -> torch.device:
    """A device; "auto" takes a GPU if there is one.

    Raises:
        InputError: there is no such device, or it cannot be used.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"device {name!r} cannot be used: {reason}", fix="Try --device cpu") from error
    return device
