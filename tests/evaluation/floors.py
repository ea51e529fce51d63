"""The floors that quality never falls through: ``baseline.json``, a floor for each set and measure.

Floors rise with ``raise_floors`` and sink only with ``lower_floors``, which keeps the reason in the
file. A measure that is better when lower has a ceiling in its place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

Measures = Mapping[str, float]

LOWER_IS_BETTER = frozenset({"unclassified"})
_STEPS = 10_000  # floors are kept to four places, rounded to the safe side


@dataclass(frozen=True, slots=True)
class Breach:
    """A measure that is worse than its floor."""

    set_name: str
    measure: str
    floor: float
    found: float | None

    def __str__(self) -> str:
        found = "not measured" if self.found is None else f"{self.found:.4f}"
        return f"{self.set_name}: {self.measure} is {found}, its floor {self.floor:.4f}"


@dataclass(slots=True)
class Floors:
    """Floors by set and measure, and every lowering with its reason."""

    floors: dict[str, dict[str, float]] = field(default_factory=dict)
    lowered: list[dict[str, str | float]] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> Self:
        """The floors of a file; none where there is no file."""
        return cls(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else cls()

    def write(self, file: Path) -> None:
        said = {"floors": dict(sorted(self.floors.items())), "lowered": self.lowered}
        file.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")

    def breaches(self, found: Mapping[str, Measures]) -> Iterator[Breach]:
        """What is worse than its floor in the sets that were measured."""
        for set_name, measures in found.items():
            for measure, floor in self.floors.get(set_name, {}).items():
                value = measures.get(measure)
                if value is None or _worse(measure, value, floor):
                    yield Breach(set_name, measure, floor, value)

    def raise_floors(self, found: Mapping[str, Measures]) -> None:
        """Lift every floor to what was measured; those that are breached stay."""
        breached = {(breach.set_name, breach.measure) for breach in self.breaches(found)}
        for set_name, measures in found.items():
            own = self.floors.setdefault(set_name, {})
            for measure, value in measures.items():
                if (set_name, measure) not in breached:
                    own[measure] = _rounded(measure, value)

    def lower_floors(self, found: Mapping[str, Measures], reason: str) -> None:
        """Let every breached floor down to what was measured, and keep the reason."""
        for breach in list(self.breaches(found)):
            own = self.floors[breach.set_name]
            said: dict[str, str | float] = {"set": breach.set_name, "measure": breach.measure}
            said["from"] = own.pop(breach.measure)
            if breach.found is not None:
                said["to"] = own[breach.measure] = _rounded(breach.measure, breach.found)
            self.lowered.append(said | {"reason": reason})


def _worse(measure: str, value: float, floor: float) -> bool:
    return value > floor if measure in LOWER_IS_BETTER else value < floor


def _rounded(measure: str, value: float) -> float:
    step = math.ceil if measure in LOWER_IS_BETTER else math.floor
    return step(round(value * _STEPS, 3)) / _STEPS  # 0.9531 * 10,000 is a little less than 9,531
