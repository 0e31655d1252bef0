"""Backups and archives take little memory whatever the store holds, and a full disk stops them in one line."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from projector.envelope import execution_stream
from projector.event_store import Append
from projector.events import MessageAppended
from projector.keeping.event_file import EventFile
from projector.projecting.rebuild import rebuild
from tests.engines import SQLITE, Engine
from tests.fleet import set_sail
from tests.histories import COMPLETED, REQUESTED, new
from tests.keeping import archived, stored_rows
from tests.keeping_processes import keep_on_a_full_disk, measure
from tests.processes import child

EVENTS = 100_000
KIB = 1024


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_hundred_thousand_events_take_no_more_memory_than_a_few(engine: Engine, tmp_path: Path) -> None:
    """All of them together are some 40 MB; read and written at once they would take several times that."""
    remark = MessageAppended(role="assistant", text="Seven fathoms over the reef. " * 5)
    for name in ("store", "new"):
        (tmp_path / name).mkdir()
    with engine.make_place(tmp_path / "store") as place, engine.make_place(tmp_path / "new") as other:
        with closing(engine.open(place)) as store:
            for batch in range(EVENTS // 2000):
                news = tuple(new(remark, f"{batch}-{number}") for number in range(2000))
                store.append_batch([Append(execution_stream(f"voyage-{batch}"), news, is_told=False)])
        with child(measure, engine.name, place, str(tmp_path / "b.jsonl.gz"), other) as keeper:
            for_backup, for_restore = keeper.hear(120), keeper.hear(120)
        assert EventFile(tmp_path / "b.jsonl.gz").verify().events == EVENTS
        with closing(engine.open(other)) as new_one:
            assert new_one.head() == EVENTS
    print(f"{engine.name}: {for_backup / KIB:.1f} MiB for the backup, {for_restore / KIB:.1f} MiB for the restore")
    assert for_backup < 12 * KIB
    assert for_restore < 12 * KIB


def test_a_full_disk_leaves_no_file_and_an_empty_store(tmp_path: Path) -> None:
    place = str(tmp_path / "store.db")
    with closing(SQLITE.open(place)) as store:
        set_sail(store, times=60)
        for number in range(200):
            noise = MessageAppended(role="assistant", text=" ".join(str(hash((number, word))) for word in range(150)))
            store.append(execution_stream(f"noise-{number}"), [new(REQUESTED), new(noise), new(COMPLETED)])
        before = stored_rows(store)
    with child(keep_on_a_full_disk, place, str(tmp_path), 100_000) as keeper:
        of_backup, of_archive, of_restore = keeper.hear()
        assert keeper.hear() == 0, "nothing was restored"
    assert "new.jsonl.gz could not be written: File too large; check that its folder is writable" in of_backup
    assert "executions-2026-06-01-1.jsonl.gz could not be written: File too large" in of_archive or (
        "cannot be used at this moment" in of_archive
    )
    assert "cannot be used at this moment" in of_restore
    assert sorted(path.name for path in tmp_path.glob("*.jsonl.gz")) == ["whole.jsonl.gz"]
    assert not list(tmp_path.glob(".*.part"))
    assert list((tmp_path / "archive").iterdir()) == []
    with closing(SQLITE.open(place)) as store:
        assert stored_rows(store) == before
        assert archived(store, tmp_path / "archive")
        assert rebuild(store, verify_only=True).differences == ()


def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    from projector.errors import EventFileError, InputRejected
    from projector.keeping.event_file import Header
    from projector.keeping.new_file import write_event_file
    from tests.keeping import NOW

    (tmp_path / "file").write_text("")
    with pytest.raises(InputRejected):
        write_event_file(tmp_path / "file" / "b.jsonl.gz", Header.of(NOW, encrypted=False), [])
    with pytest.raises(EventFileError, match="could not be written"):
        write_event_file(Path("/proc/b.jsonl.gz"), Header.of(NOW, encrypted=False), [])
