"""Writes docs/problems.md from the code: every kind of problem that the service answers with.

Run it after a change of any of them: `python docs/generate_problems.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from workflows.service.problem_kinds import KINDS, explained

TARGET: Final = Path(__file__).with_name("problems.md")

HEAD: Final = """# Problems

What the service refuses, or cannot do, it answers with `application/problem+json` (RFC 9457): `type`, `title`,
`status`, `detail`, and for a malformed request `errors`. `detail` says what happened, why, and what to do next. `type`
is an address of the service, and whoever opens it reads what stands here.

This page is made from the code by `docs/generate_problems.py`.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(f"\n## {kind.name}\n\n{explained(kind)}" for kind in KINDS.values())


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
