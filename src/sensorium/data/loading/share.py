"""Which batches of one stream a process takes, where several learn together.

Unusual: all processes walk the same stream, and each takes every so many batches of it. Nothing is seen twice or left
out, and a run may go on with another number of processes than it began with, since they are all at one place.
"""

from __future__ import annotations

from dataclasses import dataclass

from sensorium.errors import ConfigError


@dataclass(frozen=True)
class Share:
    """One process of several.

    Args:
        index: of this process, from 0.
        count: of all.

    Raises:
        ConfigError: there is no such process.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(f"share {self.index} of {self.count} does not exist", fix="Count shares from 0")

    def split(self, index: int, count: int) -> Share:
        """A worker's part of this share. The workers take turns, so that together they give the share in its order."""
        return Share(self.index + self.count * index, self.count * count)

    @classmethod
    def here(cls) -> Share:
        """That of this process: its rank where `torch.distributed` runs, and its number where it is a worker of a
        `DataLoader`."""
        import torch.distributed as group
        from torch.utils.data import get_worker_info

        running = group.is_available() and group.is_initialized()
        rank = cls(group.get_rank(), group.get_world_size()) if running else cls()
        worker = get_worker_info()
        return rank if worker is None else rank.split(worker.id, worker.num_workers)
