"""Eight processes that write, one that projects and four that read share one SQLite file, and none is refused."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.processes import child, children
from tests.sharing_processes import append_without_pause, read_without_pause
from tests.store_processes import open_sqlite, project_to
from tests.tables import project

SECONDS = 2.0


@pytest.mark.timeout(150)
def test_nobody_is_locked_out_and_nobody_waits_for_long(tmp_path: Path) -> None:
    place = str(tmp_path / "store.db")
    with closing(open_sqlite(place)) as store, ExitStack() as stack:
        writers = stack.enter_context(children(append_without_pause, [(place, number, SECONDS) for number in range(8)]))
        for writer in writers:
            assert writer.hear() == "ready"
        readers = stack.enter_context(children(read_without_pause, [(place,)] * 4))
        projector = stack.enter_context(child(project_to, open_sqlite, place, 50, 100))
        for writer in writers:
            writer.tell("now")
        # Whoever is refused ends without an answer, which fails the test.
        assert projector.hear(60) >= 50
        written = [writer.hear(60) for writer in writers]
        for reader in readers:
            reader.tell("enough")
        read = [reader.hear() for reader in readers]
        for one in (*writers, *readers, projector):
            one.join()

        assert store.head() == sum(count for count, _ in written)
        assert max(longest for _, longest in written) < 30, "which is when one is refused"
        assert max(read) < 5, "a reader waits for nobody"
        project(store)
    assert {path.name for path in tmp_path.iterdir()} == {"store.db"}
