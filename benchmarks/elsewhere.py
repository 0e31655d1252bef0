"""A turn in a process of its own, for what is about processes: memory, a cold start, threads that never end.

    figures = elsewhere("benchmarks.memory:grown", str(path), 1_000_000)

calls that function in a new interpreter with these arguments, and gives what it returned. Both are JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).resolve().parents[1]


def elsewhere(function: str, *arguments: Any, timeout: float = 600.0) -> Any:
    """What `module:function` returns for these arguments, in a new process.

    Raises RuntimeError with the process's last words when it fails, TimeoutExpired after `timeout` seconds.
    """
    command = [sys.executable, "-m", __spec__.name, function, json.dumps(arguments)]
    done = subprocess.run(
        command, cwd=_ROOT, env=_environment(), capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{function} ended with exit code {done.returncode}: {done.stderr[-2000:].strip()}")
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def beside(function: str, *arguments: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that calls `module:function` with these arguments while the context lasts; it is ended with it.

    What the function prints can be read from `stdout`, line by line, and last what it returns, as JSON.
    """
    command = [sys.executable, "-m", __spec__.name, function, json.dumps(arguments)]
    process = subprocess.Popen(
        command, cwd=_ROOT, env=_environment(), stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _environment() -> dict[str, str]:
    """This process's, but modules are compiled once, as they are where a program was installed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {"PYTHONPYCACHEPREFIX": str(_ROOT / ".venv" / "pycache"), **kept}


def _main(name: str, arguments: str) -> None:
    module, _, function = name.partition(":")
    print(json.dumps(getattr(importlib.import_module(module), function)(*json.loads(arguments))))


if __name__ == "__main__":
    _main(*sys.argv[1:])
