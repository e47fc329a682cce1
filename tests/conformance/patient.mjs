// Loaded before the suite (`node --import`): its limits, half a second to 10 seconds, cannot be set; they hold PATIENCE
// times as long, so that a busy machine is no failed check. Nothing else changes, and nothing it checks is about time.
const patience = Number(process.env.PATIENCE ?? 1);
const { now } = Date;
const began = now();
Date.now = () => Math.floor(began + (now() - began) / patience); // whole: the suite makes ids of it
const later = globalThis.setTimeout;
globalThis.setTimeout = (then, ms, ...more) => later(then, ms >= 500 ? ms * patience : ms, ...more);
