"""The words of a verdict: where the execution stood, what the verdict rests on, what Temporal said; pure."""

from __future__ import annotations

from runner.contracts import RECONSIDER
from workflows.verdict.error_link import ErrorChain, ErrorLink
from workflows.verdict.evidence import Evidence


def where(evidence: Evidence) -> str:
    """Where the agent stood: its tool in flight and its last event; empty when it never began."""
    if not evidence.began:
        return ""
    tool = f" while it used the tool '{evidence.tool_in_flight}'" if evidence.tool_in_flight else ""
    return tool + _last(evidence)


def stood(evidence: Evidence) -> str:
    """Where the agent stood, as a sentence of its own."""
    if not evidence.began:
        return "The agent had not begun."
    tool = evidence.tool_in_flight
    return (f"The agent was using the tool '{tool}'" if tool else "The agent was at work") + f"{_last(evidence)}."


def _last(evidence: Evidence) -> str:
    steps = "1 step" if evidence.steps == 1 else f"{evidence.steps} steps"
    return f" (last event: {evidence.last_event} at {evidence.last_event_at}, after {steps})"


def evidence_lines(chain: ErrorChain, evidence: Evidence, note: str) -> tuple[str, ...]:
    """The facts that a verdict rests on, a line each."""
    asks_again = [link.type for link in chain] == [RECONSIDER]
    facts = [f"Temporal: {said(chain)}"] if chain and not asks_again else []
    if note:
        facts.append(note)
    if evidence.began:
        facts.append(f"store: attempt {evidence.attempt} began on runner {evidence.runner_id}")
    else:
        facts.append("store: no attempt began")
    if evidence.last_event:
        facts.append(f"store: the last event was {evidence.last_event} at {evidence.last_event_at}")
    if evidence.tool_in_flight:
        facts.append(f"store: the tool '{evidence.tool_in_flight}' had not answered")
    if evidence.queue is not None and evidence.queue.reason:
        facts.append(f"queue: {evidence.queue.reason}")
    if evidence.stalled:
        facts.append(f"stalled: {evidence.stalled}")
    for runner in evidence.runners[:3]:
        error = f": {runner.headline or runner.error}" if runner.error else ""
        facts.append(f"runner {runner.runner_id}: {runner.state} at {runner.at}{error}")
    return tuple(fact[:1000] for fact in facts)


def said(chain: ErrorChain) -> str:
    """What Temporal said, from the outermost error to the root."""
    return " ← ".join(shown(link) for link in chain[:5])[:900] or "nothing"


def shown(link: ErrorLink) -> str:
    """One error in a few words."""
    match link.kind:
        case "activity":
            began = "" if link.was_started else ", never started"
            return f"activity {link.activity_type or '?'} failed ({link.retry_state or 'no retry state'}{began})"
        case "timeout":
            return f"{link.timeout_type} timeout"
        case _:
            return f"{link.type or link.kind}: {link.message[:300]}" if link.message else link.type or link.kind


def sentence(text: str) -> str:
    """A reason as a sentence of its own; empty when there is none."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".") if text else ""


def in_seconds(value: float) -> str:
    """A number of seconds as people say it."""
    if value >= 120:
        return f"{value / 60:g} min"
    return f"{value:g} s"
