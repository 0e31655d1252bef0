// Work that many changes ask for is done once, in the next frame, and not more often than is worth looking at.

const APART = 80; // milliseconds: twelve times a second is live enough, and leaves the rest to whoever scrolls

/** A function that has `work` done soon, however often it is called. */
export function soon(work) {
  let asked = false;
  let last = 0;
  const run = (now) => {
    asked = false;
    last = now;
    work();
  };
  return () => {
    if (asked) return;
    asked = true;
    const wait = APART - (performance.now() - last);
    if (wait <= 0) requestAnimationFrame(run);
    else setTimeout(() => requestAnimationFrame(run), wait);
  };
}

/** A function that has `work` done when it was not called for a while. */
export function settled(work, quiet) {
  let timer = 0;
  return (...what) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...what), quiet);
  };
}

/** A function that has the asynchronous `work` done, one at a time, and once more if it was asked for meanwhile. */
export function inTurn(work, pause = 0) {
  let isRunning = false;
  let isWanted = false;
  return async function again() {
    isWanted = true;
    if (isRunning) return;
    isRunning = true;
    while (isWanted) {
      isWanted = false;
      await work();
      if (isWanted && pause) await new Promise((done) => setTimeout(done, pause));
    }
    isRunning = false;
  };
}
