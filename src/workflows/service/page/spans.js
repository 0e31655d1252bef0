// What a history amounts to on a line of time: spans with a beginning and an end, and marks. Pure: events in, spans out.

const ENDS = { ExecutionCompleted: "COMPLETED", ExecutionFailed: "FAILED", ExecutionCancelled: "CANCELLED" };

/**
 * The spans of some events in order: `phases`, `attempts`, `calls`, `conditions`, each with `from`, `to` (null while it
 * goes on) and `version`; and `marks`, with `at`, `kind`, `version`.
 */
export function spansOf(events) {
  const phases = [];
  const attempts = [];
  const calls = [];
  const conditions = [];
  const marks = [];
  const close = (span, at, change = {}) => { if (span && span.to === null) Object.assign(span, { to: at }, change); };
  const begin = (spans, span) => { spans.push({ to: null, ...span }); };
  let isOver = false;

  for (const { type, time, version, attempt, data } of events) {
    const at = Date.parse(time);
    if (!phases.length) begin(phases, { from: at, version, phase: version === 1 || !attempt ? "PENDING" : "IN_PROGRESS" });
    if (type === "AttemptStarted" && !isOver) {
      if (phases.at(-1).phase !== "IN_PROGRESS") {
        close(phases.at(-1), at);
        begin(phases, { from: at, version, phase: "IN_PROGRESS" });
      }
      begin(attempts, { from: at, version, name: `attempt ${attempt}`, runner: data.runner_id, outcome: "" });
      closeKind(conditions, "waiting_for_runner", at, close);
    } else if (type === "AttemptFinished" || type === "AttemptFailed") {
      close(attempts.at(-1), at, { outcome: type === "AttemptFailed" ? "failed" : "finished" });
    } else if (type === "ToolCallStarted") {
      begin(calls, { from: at, version, name: data.tool, id: data.call_id, outcome: "" });
    } else if (type === "ToolCallFinished") {
      const outcome = data.error ? "failed" : "answered";
      const call = calls.findLast((each) => each.id === data.call_id && each.to === null);
      if (call) close(call, at, { outcome, until: version });
      else calls.push({ from: null, to: at, version, until: version, name: `call ${data.call_id}`, id: data.call_id, outcome });
    } else if (type === "RunnerAwaited" || type === "ConditionObserved") {
      const kind = data.kind ?? "waiting_for_runner";
      if (!conditions.some((each) => each.kind === kind && each.to === null) && !(type === "RunnerAwaited" && attempts.length)) {
        begin(conditions, { from: at, version, kind, reason: data.reason ?? `waiting for a runner on queue '${data.task_queue}'` });
      }
    } else if (type === "ConditionCleared" || type === "ThreadEnsured") {
      closeKind(conditions, data.kind ?? "waiting_for_runner", at, close);
    } else if (type === "MessageAppended") {
      marks.push({ at, version, kind: "message", name: `message from ${data.role}` });
    } else if (type === "HeartbeatRecorded") {
      marks.push({ at, version, kind: "heartbeat", name: "heartbeat" });
    } else if (type === "ProgressReported") {
      marks.push({ at, version, kind: "progress", name: `progress${data.note ? `: ${data.note}` : ""}` });
    } else if (type === "CancellationRequested") {
      marks.push({ at, version, kind: "request", name: "cancellation requested" });
    }
    if (ENDS[type] && !isOver) {
      isOver = true;
      close(phases.at(-1), at);
      close(attempts.at(-1), at);
      conditions.forEach((each) => close(each, at));
      calls.forEach((each) => close(each, at, { outcome: "unanswered" }));
      marks.push({ at, version, kind: "end", phase: ENDS[type], name: ENDS[type].toLowerCase() });
    }
  }
  return { phases, attempts, calls, conditions, marks, isOver };
}

function closeKind(conditions, kind, at, close) {
  conditions.filter((each) => each.kind === kind).forEach((each) => close(each, at));
}
