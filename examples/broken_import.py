"""An agent whose runner cannot start, since it imports a package that is not installed: for the demonstration."""

from __future__ import annotations

from collections.abc import AsyncIterator

import multipart_parser_that_is_not_installed as multipart  # type: ignore[import-not-found]

from runner.agent import AgentTask, Result, Step


async def agent(task: AgentTask) -> AsyncIterator[Step]:
    """Would count the parts of a multipart message."""
    yield Result(len(multipart.parse(task.input)))
