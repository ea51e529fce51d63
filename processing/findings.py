"""What a verification saw: findings of what is wrong, counts of what was looked at, notes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MOST = 100
"""Findings of one kind that are told one by one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: which check saw it, on what, and what it saw."""

    check: str
    subject: str
    detail: str


@dataclass(slots=True)
class Report:
    """What a verification saw: all well when there are no findings.

    ``checked`` counts what was looked at, by kind; ``notes`` are sentences about what could not
    be looked at without anything being wrong.
    """

    findings: list[Finding] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def add(self, check: str, subject: str, detail: str) -> None:
        """Take up a finding; of one kind no more than a hundred."""
        told = sum(finding.check == check for finding in self.findings)
        if told < MOST:
            self.findings.append(Finding(check, subject, detail))
        elif told == MOST:
            self.findings.append(Finding(check, "more", f"more than {MOST} of this kind"))
