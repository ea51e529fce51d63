"""What finding near-duplicates costs: signing a text, and looking a run up in what is known.

    python tests/bench/deduplication.py [--windows 10000,100000,1000000,3000000]

A look-up is of 10,000 new texts in the texts of seven days, out of the embedded store, in a
process of its own whose memory is its highest. The texts are made up of random keys: each site
has 90 to a text, every third text has one of fifty agencies' closing lines besides, and every
fifth new one is an edited copy.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from newslake import objectstore
from processing import dataset, fingerprints
from processing.dataset import Tables
from processing.neighbours import Signed, neighbours
from processing.signatures import VERSION, Keys
from processing.storage import Store
from processing.tables import FINGERPRINTS

SEED = 20261101
WINDOWS = (10_000, 100_000, 1_000_000, 3_000_000)
NEW = 10_000
DAYS = [date(2026, 11, 20) + timedelta(days=n) for n in range(7)]
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)

_SITES = 200
_KEYS = 90  # of a text of 500 words
_AGENCIES, _CLOSING = 50, 6
_CHUNK = 50_000


@dataclass(frozen=True, slots=True)
class LookUp:
    """A run looked up in a window of so many texts: seconds, megabytes at most, copies found.

    ``reading`` is how many seconds it took to read the same columns and do nothing.
    """

    window: int
    seconds: float
    reading: float
    megabytes: float
    found: int


def look_ups(environ: dict[str, str], windows: Sequence[int] = WINDOWS) -> Iterator[LookUp]:
    """A look-up in each of these windows, in the store that ``environ`` names."""
    fresh = multiprocessing.get_context("spawn")
    for window in windows:
        lake = {**environ, "NEWSLAKE_LAKE": f"s3://b-{secrets.token_hex(6)}"}
        fill(Store.from_environment(lake), window)
        with fresh.Pool(1) as alone:
            yield alone.apply(_look_up, (lake, window))


def fill(store: Store, window: int) -> None:
    """A lake's fingerprints of so many texts, evenly over the days."""
    dataset.initialise(store)
    tables = Tables(store)
    for number, day in enumerate(DAYS):
        count = window // len(DAYS) + (number < window % len(DAYS))
        for start in range(0, count, _CHUNK):
            rows = _standing(day, number, range(start, min(count, start + _CHUNK)))
            change = dataset.change_rows(tables, "fingerprints", rows, "bench")
            base = tables.delta("fingerprints").version()
            dataset.commit(tables, change, f"bench/{day}/{start}", base, NOW)


def new_texts(window: int) -> list[Signed]:
    """The texts of the run: every fifth shares four fifths of its keys with a known one."""
    rng = np.random.default_rng(SEED)
    found = []
    of_days = window // len(DAYS)
    for n in range(NEW):
        keys = rng.integers(0, 2**32, _KEYS, np.uint32)
        day = int(rng.integers(len(DAYS)))
        if n % 5 == 0 and of_days:
            old = _keys_of(day, int(rng.integers(of_days)))
            keys = np.concatenate((old[: _KEYS * 4 // 5], keys[: _KEYS // 5]))
        found.append(Signed(f"site-{n % _SITES}", DAYS[day], np.unique(keys)))
    return found


def _keys_of(day: int, number: int) -> Keys:
    rng = np.random.default_rng((SEED, day, number))
    keys = rng.integers(0, 2**32, _KEYS, np.uint32)
    if number % 3 == 0:
        agency = number // 3 % _AGENCIES
        closing = np.random.default_rng((SEED, agency)).integers(0, 2**32, _CLOSING, np.uint32)
        keys = np.concatenate((keys, closing))
    return keys


def _standing(day: date, of_days: int, numbers: range) -> pa.Table:
    keys = [np.unique(_keys_of(of_days, n)) for n in numbers]
    ends = np.cumsum([0, *(len(each) for each in keys)])
    ids = [_id(of_days, n) for n in numbers]
    count = len(ids)
    return pa.table(
        {
            "key": ids,
            "source": [f"site-{n % _SITES}" for n in numbers],
            "id": ids,
            "article_id": ids,
            "relation": pa.nulls(count, pa.string()),
            "run_id": pa.repeat("20260101T000000Z-bench0", count),
            "similarity": pa.nulls(count, pa.float32()),
            "cluster_id": ids,
            "signature": pa.repeat(pa.scalar(VERSION, pa.int32()), count),
            "winnowed": pa.ListArray.from_arrays(
                pa.array(ends, pa.int32()), pa.array(np.concatenate(keys).view(np.int32))
            ),
            "date": pa.repeat(pa.scalar(day, pa.date32()), count),
        }
    ).cast(FINGERPRINTS)


def _id(day: int, number: int) -> str:
    """An id as good as random, and never the same."""
    return f"{(day << 32 | number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


def _look_up(environ: dict[str, str], window: int) -> LookUp:
    tables = Tables(Store.from_environment(environ))
    batch = new_texts(window)
    before = time.perf_counter()
    read = sum(len(shelf.keys) for shelf in fingerprints.shelves(tables, DAYS))
    began = time.perf_counter()
    found = neighbours(batch, fingerprints.shelves(tables, DAYS))
    seconds = time.perf_counter() - began
    assert read >= window * _KEYS * 0.99
    return LookUp(window, seconds, began - before, _highest(), sum(map(bool, found)))


def _highest() -> float:
    """This process's highest memory in MB; ``ru_maxrss`` would begin with its parent's."""
    said = Path("/proc/self/status").read_text()
    return int(said.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Print the look-ups; the signing is printed by ``bench.py``, beside extraction."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--windows", default=",".join(map(str, WINDOWS)))
    windows = [int(each) for each in parser.parse_args().windows.split(",")]
    os.environ.update(objectstore.past_proxies(os.environ))
    print(f"{NEW:,} new texts, every fifth an edited copy of a known one\n", flush=True)
    print(f"{'texts known':>12}{'seconds':>10}{'reading':>10}{'MB':>8}{'found':>8}", flush=True)
    with (
        TemporaryDirectory(prefix="newslake-bench-") as home,
        objectstore.serving(Path(home)) as environ,
    ):
        for said in look_ups(environ, windows):
            print(
                f"{said.window:12,}{said.seconds:10.2f}{said.reading:10.2f}"
                f"{said.megabytes:8.0f}{said.found:8,}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
