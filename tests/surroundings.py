"""What the shell that runs the tests is set up for must not lead to another store or another Temporal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def ours_alone(folder: Path) -> Iterator[None]:
    """No setting of this project's or of Temporal's, neither of the environment nor of a file; `folder` is empty."""
    nothing = folder / "none.toml"
    nothing.touch()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("EXECUTION_STATUS_", "TEMPORAL_"))]:
            patch.delenv(name)
        patch.setenv("EXECUTION_STATUS_CONFIG", str(nothing))
        patch.setenv("TEMPORAL_CONFIG_FILE", str(nothing))
        yield
