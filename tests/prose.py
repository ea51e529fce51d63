"""Texts that are reports to extraction, and no copies of each other to deduplication."""

from __future__ import annotations

from random import Random

WORDS = """
    the council harbour bridge winter mayor of school river and a market fire night train to
    hospital water in station old road for teacher doctor farm engine with island judge letter
    morning from garden captain street house on library coast money by storm window people
    village theatre that church ship summer factory forest was valley ferry museum were tower
"""


def prose(about: str, sentences: int = 20) -> str:
    """The same sentences each time, and others about anything else."""
    choice = Random(about)
    said = (" ".join(choice.choices(WORDS.split(), k=12)).capitalize() for _ in range(sentences))
    return " ".join(f"{sentence}." for sentence in said)
