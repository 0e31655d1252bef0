"""What a supervisor says about a runner that has ended: to the store, to Temporal and to the log. Nothing is sent.

A runner that could say itself why it did not start knew it better; its supervisor says it for those that could not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from projector.door.hygiene import STACK_LIMIT, Hygiene
from projector.door.text import byte_size, tail_of
from projector.events import RunnerExited, RunnerStartupFailed
from projector.failures import ErrorReport
from projector.projections.runners import ended_how
from runner.contracts import RunnerDeath
from runner.startup import likely_causes
from runner.supervision.process_end import ProcessEnd, last_error, prove_out_of_memory

DEATH_WORDS: Final = 2000
"""How many bytes of the last words Temporal is told."""
_ALL: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Circumstances:
    """How a runner's process was when it ended. `was_told` means that somebody had asked it to stop."""

    runner_id: str
    task_queue: str
    agents: tuple[str, ...]
    returncode: int
    last_words: str
    stage: str
    was_ready: bool = True
    was_told: bool = False
    memory_ran_out: bool = False


@dataclass(frozen=True, slots=True)
class Obituary:
    """What is to be said; `startup_failure` only when it ended by itself before it was ready."""

    exited: RunnerExited
    startup_failure: RunnerStartupFailed | None
    death: RunnerDeath

    @property
    def runner_id(self) -> str:
        """Whose it is."""
        return self.death.runner_id

    @property
    def how(self) -> str:
        """How it ended, in a few words."""
        return self.death.how


def obituary(seen: Circumstances, hygiene: Hygiene, *, crashes: int = 0, restart_in: float | None = None) -> Obituary:
    """Put together what is known. `crashes` and `restart_in` are as in RunnerExited."""
    end = ProcessEnd.of(seen.returncode)
    # Redacted while it is whole: a secret that a cut has halved is not recognised any more.
    words = hygiene.text(seen.last_words, _ALL).text
    exited = RunnerExited(
        task_queue=seen.task_queue,
        agents=seen.agents,
        exit_code=end.exit_code,
        signal=end.signal,
        out_of_memory=(end.signal == "SIGKILL" and seen.memory_ran_out) or prove_out_of_memory(end, words),
        was_told=seen.was_told,
        stage="" if seen.was_ready else seen.stage,
        crashes=crashes,
        restart_in=restart_in,
        last_stderr=_last_lines(words, STACK_LIMIT),
    )
    how = ended_how(exited)
    death = RunnerDeath(
        runner_id=seen.runner_id,
        how=how,
        out_of_memory=exited.out_of_memory,
        last_words=_last_lines(words, DEATH_WORDS),
    )
    if seen.was_ready or seen.was_told:
        return Obituary(exited, None, death)
    ended = ErrorReport(kind="system", type="ProcessEnded", message=f"{how}, before the runner was ready")
    report = last_error(end, words) or ended
    failure = RunnerStartupFailed(
        task_queue=seen.task_queue,
        agents=seen.agents,
        stage=seen.stage,
        report=report,
        likely_causes=likely_causes(report),
    )
    return Obituary(exited, failure, death)


def shutdown_report(runner: Obituary) -> ErrorReport:
    """What became of an agent whose runner was told to stop and could not do so in order."""
    message = f"the runner was told to stop and did not end within its grace: {runner.how}"
    return ErrorReport(kind="shutdown", type="RunnerShutDown", message=message)


def _last_lines(text: str, room: int) -> str:
    """The end of a text, from the beginning of a line where there is one."""
    if byte_size(text) <= room:
        return text
    kept = tail_of(text, room)
    return kept.partition("\n")[2] or kept
