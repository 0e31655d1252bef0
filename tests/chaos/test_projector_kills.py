"""The projector is killed at random points, again and again, while events flow: nothing is lost and nothing doubled."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from projector.execution_status import Phase
from projector.failures import fingerprint
from projector.projecting.rebuild import rebuild
from tests.engines import ENGINES
from tests.fleet import set_sail
from tests.processes import child
from tests.store_processes import project_for_ever
from tests.tables import folded, project, rows, statuses

KILLS = {"sqlite": 50, "postgres": 20}


@pytest.mark.chaos
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", KILLS)
def test_a_projector_that_is_killed_often_leaves_rows_as_if_it_never_had_been(tmp_path: Path, name: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice, stopping = random.Random(seed), threading.Event()
    engine, kills = ENGINES[name], KILLS[name]
    with engine.make_place(tmp_path) as place, closing(engine.open(place)) as store:
        set_sail(store, times=20)

        def keep_sailing() -> None:
            fleet = 0
            while not stopping.wait(0.01):
                fleet += 1
                set_sail(store, prefix=f"fleet-{fleet}-", seed=fleet)

        sailing = threading.Thread(target=keep_sailing)
        sailing.start()
        killed_at_work, positions = 0, [0]
        try:
            for _ in range(kills):
                with child(project_for_ever, engine.open, place, dice.choice([1, 5, 50, 500])) as projector:
                    assert projector.hear() == "running"
                    time.sleep(dice.uniform(0, 0.12))  # the point of it is that nobody knows when
                    projector.kill()
                with store.database.transaction(commit=False) as cursor:
                    cursor.execute("SELECT notification_id FROM tracking WHERE application_name = 'projector'")
                    positions.append((cursor.fetchone() or [0])[0])
                killed_at_work += positions[-1] < store.head()
        finally:
            stopping.set()
            sailing.join()
        assert positions == sorted(positions)
        assert len(set(positions)) > kills // 4, "it got on between the kills"
        assert killed_at_work > kills // 4, "and was killed at work"

        project(store)
        assert rebuild(store, verify_only=True).differences == ()
        truth = folded(store)
        assert statuses(store) == truth
        failures = [status.failure for status in truth.values() if status.phase is Phase.FAILED and status.failure]
        counted = Counter((failure.code, fingerprint(failure)) for failure in failures)
        assert {(row[0], row[1]): row[5] for row in rows(store)["failure_groups"]} == counted
        assert sum(counted.values()) > 100
