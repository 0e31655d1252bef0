"""An agent whose import stops at `go`, and then meets the fault that the environment names."""

from __future__ import annotations

import os
import time
from pathlib import Path

_PLACE = Path(os.environ["MATRIX_PLACE"])
(_PLACE / "here").touch()
while not (_PLACE / "go").exists():
    time.sleep(0.02)

match os.environ["MATRIX_FAULT"]:
    case "import error":
        raise ImportError("cannot import name 'tides' from 'almanac'")
    case "missing dependency":
        import almanac_that_is_not_installed  # type: ignore[import-not-found] # noqa: F401
    case "bad configuration":
        _ = os.environ["CHART_FOLDER_THAT_IS_NOT_SET"]
    case "os._exit":
        os._exit(3)
    case _:
        pass

from tests.matrix.phased_agent import phased  # noqa: E402

__all__ = ["phased"]
