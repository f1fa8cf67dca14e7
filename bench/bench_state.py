"""What does it cost to save the state of a Loader?

- tracking: batches a second where `state_dict()` is called after every batch, against never, which is the limit.
- size: the bytes of a state as JSON in the middle of an epoch, and the time of a call.

Each epoch runs in a process of its own. The shards are those of `bench_resume.py`. How the figures are measured: see
`_measure.py`.
"""

from __future__ import annotations

import gc
import itertools
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from _bench import Records, Run, command
from _epochs import BATCH, LENGTH, VIDEOS, Case, find_shards, make_loader
from _measure import Sample
from _processes import run_alone
from _results import MS, OF_LIMIT, SPREAD, Column, Record, Result, make_record, make_table, results_table
from _videos import find_files

MOST_STATE_BYTES, MOST_CLIPS = 100_000, 1000
CALLS = 50  # of state_dict, to time one
CASES = (Case("mp4", 1, LENGTH, 100), Case("npy", 4, LENGTH, MOST_CLIPS))
NEVER, EVERY = "clipx, state_dict() never", "clipx, state_dict() after every batch"


def keep_track(case: Case, shards: list[str], every: bool, starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own: seconds of a whole epoch."""
    loader = make_loader(case, shards)
    gc.collect()
    starting()
    began = time.perf_counter()
    for batch in loader:
        if every:
            loader.state_dict()
        del batch
    return {"seconds": time.perf_counter() - began}


def weigh(case: Case, shards: list[str], starting: Callable[[], None]) -> dict[str, Any]:
    """In a process of its own: the state in the middle of an epoch, and the seconds of a call."""
    loader = make_loader(case, shards)
    starting()
    for _ in itertools.islice(loader, case.batch_at(0.5)):
        pass
    state, seconds = loader.state_dict(), []
    for _ in range(CALLS):
        began = time.perf_counter()
        loader.state_dict()
        seconds.append(time.perf_counter() - began)
    loader.close()
    return {"state": state, "seconds": statistics.median(seconds)}


def run_tracking(case: Case, shards: list[str], run: Run) -> Result:
    def once(name: str) -> Sample:
        run.describe(f"{case.title}: {name}")
        return Sample(run_alone(keep_track, case, shards, name == EVERY, watched=False).found["seconds"])

    samples = run.interleave({name: partial(once, name) for name in (NEVER, EVERY)})
    result = Result(case.title, samples, EVERY, limits=(NEVER,), facts={"batches": case.clips // BATCH})
    figures = {name: {"batches_per_second": case.clips // BATCH / result.seconds(name)} for name in samples}
    return replace(result, figures=figures)


def weigh_state(case: Case, shards: list[str]) -> Record:
    found = run_alone(weigh, case, shards, watched=False).found
    state = found["state"]
    held = len(state["shuffle"]["held"][0])
    figures = {"state_bytes": len(json.dumps(state)), "call_seconds": found["seconds"]}
    return make_record(f"{case.title}, {held:,} held", "clipx", {"clipx": figures}, held=held)


def measure(run: Run) -> Records:
    found = find_files(run.folder, () if run.quick else VIDEOS, run.describe)
    run.leave_out(found.missing)
    cases = [case for case in CASES if case.field != "mp4" or not (run.quick or found.missing)]
    run.expect(2 * run.repeats * len(cases))
    tracking, states = [], []
    for case in cases:
        shards = find_shards(case, list(found.videos.values()), run)
        tracking.append(run_tracking(case, shards, run))
        states.append(weigh_state(case, shards))
    batches = Column("batches/s", lambda result, name: f"{result.figures[name]['batches_per_second']:.1f}")
    run.show(results_table("Saved after every batch", tracking, (batches, MS, SPREAD, OF_LIMIT)))
    table = make_table("A state in the middle of the epoch", ("case", "", "bytes of JSON", "ms a call"))
    for state in states:
        each = state["contestants"]["clipx"]
        table.add_row(state["title"], "", f"{each['state_bytes']:,}", f"{each['call_seconds'] * 1e3:.2f}")
        if state["held"] >= MOST_CLIPS:
            what = f"kB of a state with {state['held']:,} clips in the shuffle"
            run.floors.at_most(what, MOST_STATE_BYTES / 1e3, each["state_bytes"] / 1e3, " kB")
    run.show(table)
    return {"tracking": [each.record() for each in tracking], "states": states}


main = command("state", measure, ("numpy", "av", "webdataset"), (3, 1), quick="one repetition, of arrays alone")
if __name__ == "__main__":
    main()
