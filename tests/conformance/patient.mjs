// Loaded before the suite (`node --import`): its limits, half a second to 10 seconds, which cannot be set, hold PATIENCE times as
// long, so that a busy machine is no failed check. Nothing else of it changes, and nothing that it checks is about time.
const patience = Number(process.env.PATIENCE ?? 1);
const { now } = Date;
const began = now();
Date.now = () => began + (now() - began) / patience;
const later = globalThis.setTimeout;
globalThis.setTimeout = (then, ms, ...more) => later(then, ms >= 500 ? ms * patience : ms, ...more);
