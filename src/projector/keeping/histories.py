"""Where a command finds an execution's history: in the store, or in an archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from projector.console import say
from projector.keeping.archived import archived_history
from projector.keeping.at_rest import mapper_for
from projector.opening import open_existing_store
from projector.replay import Histories
from projector.settings import StoreSettings


@contextmanager
def histories(settings: StoreSettings, execution_id: str, archive: str | None) -> Iterator[Histories]:
    """The store, or what stands in for it where the execution is in this archive, a file or a folder.

    Raises StoreError; of an archive ExecutionNotFound, InputRejected, EventFileError.
    """
    if archive is None:
        with closing(open_existing_store(settings)) as store:
            yield store
    else:
        yield archived_history(Path(archive), execution_id, mapper_for(settings), say)
