"""What every stage took in, gave out and dropped: counted for each unit, and added up over all of them.

An account is a plain value that goes through JSON, so that a run that goes on after it was cut off adds up what was
counted before. Time is kept apart from all else: it is the one thing that differs from run to run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sensorium.data.sample import Ledger

RULES = 200
"""Rules of a stage that are told apart; what more there are is counted together."""
_OTHERS = "other rules"


def rule_of(reason: str) -> str:
    """What a reason is counted by: what stands before its first ": " or ","."""
    return reason.split(": ", 1)[0].split(",", 1)[0]


@dataclass
class StageAccount:
    """Of one stage."""

    name: str
    documents_in: int = 0
    documents_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def drop(self, rule: str, amount: int = 1) -> None:
        """Count dropped documents."""
        known = rule in self.dropped or len(self.dropped) < RULES
        self.dropped[rule if known else _OTHERS] += amount

    def add(self, other: Mapping[str, Any]) -> None:
        """Add what another unit's account of the same stage says."""
        for name in ("documents_in", "documents_out", "bytes_in", "bytes_out", "seconds"):
            setattr(self, name, getattr(self, name) + other[name])
        for rule, amount in other["dropped"].items():
            self.drop(rule, amount)
        self.counts.update(other["counts"])

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "name": self.name,
            "documents_in": self.documents_in,
            "documents_out": self.documents_out,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "dropped": dict(self.dropped),
            "counts": dict(self.counts),
            "seconds": self.seconds,
        }


def ledger_dict(ledger: Ledger) -> dict[str, Any]:
    """A ledger as JSON."""
    return {
        "counts": dict(ledger.counts),
        "dropped": dict(ledger.dropped),
        "problems": ledger.problems,
        "files": ledger.files,
    }


def add_ledger(total: Ledger, other: Mapping[str, Any]) -> None:
    """Add what another unit's ledger says; problems are listed up to the ledger's limit and counted beyond."""
    total.counts.update(other["counts"])
    total.dropped.update(other["dropped"])
    total.problems += other["problems"][: max(0, Ledger.LISTED - len(total.problems))]
    total.files += other["files"]


def summed(names: Iterable[str], units: Iterable[Mapping[str, Any]]) -> list[StageAccount]:
    """The accounts of all stages, over all units' results."""
    accounts = {name: StageAccount(name) for name in names}
    for unit in units:
        for account in unit["stages"]:
            accounts[account["name"]].add(account)
    return list(accounts.values())
