"""Failures: errors as the runner reports them, and the verdict on an execution in the catalogue's words.

`build_failure` is total: whatever facts it is given, it returns a failure with a message that is never empty.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from projector.catalogue import CATALOGUE, Code


class Cause(BaseModel):
    """The root cause: the deepest error of a chain."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str
    message: str = ""

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


class Truncation(BaseModel):
    """What was cut from a text: how large it was in UTF-8 bytes, and the SHA-256 that still identifies it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    field: str
    original_bytes: int
    sha256: str


ErrorKind = Literal["agent", "provider", "system", "result", "mismatch", "shutdown", "cancelled"]
"""Which part of the runner an error belongs to; the classifier maps it to a family of codes."""


class ErrorReport(BaseModel):
    """Any exception, bounded, clean and serialisable.

    `type` and `message` are the outermost error's; `causes` goes from the next one down to the root (at most 10, the
    root always kept); `sub_errors` are the members of an exception group (at most 10).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: ErrorKind = "agent"
    type: str
    message: str = ""
    causes: tuple[Cause, ...] = ()
    sub_errors: tuple[Cause, ...] = ()
    notes: tuple[str, ...] = ()
    stack: str = ""
    retry_after: float | None = None
    truncated: tuple[Truncation, ...] = ()

    @property
    def root(self) -> Cause:
        """The deepest cause; the first member of a group when the group itself has no cause."""
        if self.causes:
            return self.causes[-1]
        if self.sub_errors:
            return self.sub_errors[0]
        return Cause(type=self.type, message=self.message)

    @property
    def headline(self) -> str:
        """The outer error and, where it differs, the root cause, in one line."""
        outer = Cause(type=self.type, message=self.message)
        root = self.root
        if root == outer:
            return str(outer)
        return f"{outer} (root cause: {root})"


class Failure(BaseModel):
    """The verdict on a failed execution."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    code: str
    category: str
    message: str
    remedy: str
    retryable: bool
    cause: Cause | None = None
    evidence: tuple[str, ...] = ()
    stack: str = ""


_FACTS: Final = {"cause": "no reason was given", "queue": "?", "where": "", "seconds": "its limit", "detail": ""}
_PLACEHOLDER: Final = re.compile(r"\{(cause|queue|where|seconds|detail)\}")


def build_failure(
    code: Code,
    *,
    cause: Cause | None = None,
    headline: str = "",
    evidence: tuple[str, ...] = (),
    stack: str = "",
    **facts: Any,
) -> Failure:
    """Fill the catalogue's words for `code`.

    `headline` is what stands for {cause} in the message (the root cause itself when it is empty). `facts` may hold
    queue, where, seconds (a text with its unit) and detail. Never raises for any text.
    """
    entry = CATALOGUE[code]
    said = headline.strip() or (str(cause).strip() if cause else "")
    known = _FACTS | {name: str(value) for name, value in facts.items() if value} | ({"cause": said} if said else {})

    def fill(template: str) -> str:
        return _PLACEHOLDER.sub(lambda found: known[found.group(1)], template).strip()

    message = fill(entry.message)
    return Failure(
        code=entry.code.value,
        category=entry.category,
        message=message[:-1] if message.endswith("..") else message,
        remedy=fill(entry.remedy),
        retryable=entry.retryable,
        cause=cause,
        evidence=evidence,
        stack=stack,
    )


_NUMBERS: Final = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}|\b[0-9a-f]{12,}\b|\d+", re.IGNORECASE)


def fingerprint(failure: Failure) -> str:
    """Group failures of one cause by the code, the cause's type and its message without numbers and ids (12 hex)."""
    cause = failure.cause or Cause(type="", message=failure.message)
    # Cut after the numbers are gone: their lengths must not move the cut.
    shape = _NUMBERS.sub("#", cause.message[:4096])[:512]
    return hashlib.sha256(f"{failure.code}\n{cause.type}\n{shape}".encode("utf-8", "replace")).hexdigest()[:12]
