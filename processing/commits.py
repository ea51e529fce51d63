"""Several tables changed as one: a commit plan as redo log, carried out under the lake's lease.

Whoever changes the lake first puts every Parquet object, then one *commit plan* under
``staged/run=R/``, then commits table by table, then writes the manifest. Whoever commits next
finishes a dead run's plan before deciding anything, so the tables always agree with each other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from processing import dataset, probe
from processing.dataset import Change, Tables
from processing.exceptions import ObjectNotFound, PreconditionFailed
from processing.lease import TIME_TO_LIVE, Lease, lease
from processing.storage import Store

_PLAN = "commit.json"
_DECIDE_ATTEMPTS = 5

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does to the lake: changes in the order of their commits, then its manifest.

    ``base`` maps each table to the version it was decided against; ``digest`` tells the run's
    input, so that the same run with other input is another transaction.
    """

    run_id: str
    digest: str
    base: Mapping[str, int]
    changes: tuple[Change, ...]
    manifest: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict, which ``finish_dead_runs`` understands."""
        return {
            "run_id": self.run_id,
            "transaction": f"{self.run_id}/{self.digest}",
            "base": dict(self.base),
            "changes": [change.to_json() for change in self.changes],
            "manifest": dict(self.manifest),
        }


def transact(
    store: Store,
    run_id: str,
    decide: Callable[[datetime, Tables], Plan],
    *,
    clock: Clock = lambda: datetime.now(UTC),
    lease_seconds: float = TIME_TO_LIVE,
    wait: Callable[[float], object] = time.sleep,
) -> dict[str, Any]:
    """Decide and commit under the lake's lease; the run's manifest, as a dict.

    ``decide`` gets the moment and the tables as they stand, and puts the files its plan names;
    it is asked again when a table moved on meanwhile. Safe to repeat at any point: what is
    committed stays, what is missing is added. Raises LeaseLost or StoreError; then a repeat
    completes the run. A store that cannot carry a lake is refused first.
    """
    store.ensure_bucket()
    probe.check_writes(store)
    dataset.initialise(store)
    with lease(store, run_id, time_to_live=lease_seconds, wait=wait) as held:
        tables = Tables(store)
        finish_dead_runs(tables, held, clock)
        for _ in range(_DECIDE_ATTEMPTS):
            tables.look()
            plan = decide(clock(), tables).to_json()
            held.confirm()
            store.put(_plan_key(run_id), json.dumps(plan).encode())
            try:
                return _carry_out(tables, held, plan, clock)
            except PreconditionFailed:
                # A table moved on since we read it: what was decided no longer holds.
                store.delete([_plan_key(run_id)])
        raise PreconditionFailed(f"{store.url} is rewritten faster than {run_id} can decide")


def finish_dead_runs(tables: Tables, held: Lease, clock: Clock) -> None:
    """Carry out every commit plan that a dead run left behind; only under the lease."""
    store = tables.store
    for run_id in unfinished_runs(store):
        plan = json.loads(store.get(_plan_key(run_id)).data)
        try:
            _carry_out(tables, held, plan, clock)
        except PreconditionFailed:
            store.delete([_plan_key(run_id)])


def unfinished_runs(store: Store) -> list[str]:
    """The runs whose commit plan still stands: under way, or dead between two commits."""
    return [
        found.key.split("/")[1].removeprefix("run=")
        for found in store.objects("staged/")
        if found.key.endswith(f"/{_PLAN}")
    ]


def read_manifest(store: Store, run_id: str) -> dict[str, Any] | None:
    """The manifest of a finished run; None while there is none."""
    try:
        said: dict[str, Any] = json.loads(store.get(f"runs/{run_id}.json").data)
    except ObjectNotFound:
        return None
    return said


def partitions_of(changes: Iterable[Change], previous: Mapping[str, Any] | None) -> list[str]:
    """The partitions of ``articles`` a run touched, as ``date|topic``.

    ``previous`` is the manifest of an earlier commit of the same run.
    """
    touched = {
        f"{file.partition['date']}|{file.partition['topic']}"
        for change in changes
        if change.table == "articles"
        for file in (*change.adds, *change.removes)
    }
    return sorted(touched | set((previous or {}).get("partitions", ())))


def _plan_key(run_id: str) -> str:
    return f"staged/run={run_id}/{_PLAN}"


def _carry_out(tables: Tables, held: Lease, plan: dict[str, Any], clock: Clock) -> dict[str, Any]:
    store = tables.store
    run_id: str = plan["run_id"]
    manifest: dict[str, Any] = plan["manifest"]
    # All tables of this state, those too that the run leaves as they are.
    manifest["tables"] = dict(plan["base"])
    for said in plan["changes"]:
        held.confirm()
        change = Change.from_json(said)
        base = plan["base"][change.table]
        version = dataset.commit(tables, change, plan["transaction"], base, clock())
        manifest["tables"][change.table] = version
    # Who saw the run finish and reads what came since must miss nothing of its second end.
    manifest["first_tables"] = manifest.get("first_tables") or dict(manifest["tables"])
    held.confirm()
    manifest["finished_at"] = clock().isoformat()
    store.put(f"runs/{run_id}.json", json.dumps(manifest, indent=1).encode())
    leftovers = [o.key for o in store.objects(f"staged/run={run_id}/")]
    # The plan goes last: while it stands, a repeat knows that the run is decided.
    store.delete(key for key in leftovers if not key.endswith(_PLAN))
    store.delete([_plan_key(run_id)])
    return manifest
