// The phone's own motion sensors, through the DeviceMotion API.
import { recordedMotion } from "./motion.js";
import { nameNow } from "./recorder.js";
import { traces } from "./traces.js";

const WAIT_MS = 2000;
const SHOWN_ROWS = 200;

export const motionSource = {
  title: "Record this phone's motion",
  begin: "Record",
  mostSeconds: 60,
  async open(view) {
    await allowed();
    const seen = [];
    const times = [];
    const rows = [];
    const shown = recordedMotion(seen, null);
    let isRecording = false;
    let count = 0;
    let tell = () => {};
    const hear = (event) => {
      const row = rowOf(event);
      if (row === null) return;
      tell();
      if (isRecording) {
        times.push(event.timeStamp);
        rows.push(row);
      }
      seen.push(row);
      if (seen.length > SHOWN_ROWS) seen.shift();
      count += 1;
      if (count % 4) return;
      for (const canvas of view.querySelectorAll("canvas")) canvas.redraw();
    };
    addEventListener("devicemotion", hear);
    const close = () => removeEventListener("devicemotion", hear);
    const isThere = await new Promise((resolve) => {
      tell = () => resolve(true);
      setTimeout(() => resolve(false), WAIT_MS);
    });
    if (!isThere) {
      close();
      throw new Error(`This device has no motion sensor that a page may read. ${hint()}`);
    }
    view.replaceChildren(traces(shown, "as the sensors feel it"));
    return {
      start: () => (isRecording = true),
      finish: async () => {
        const steady = onGrid(times, rows);
        const blob = new Blob([JSON.stringify(steady.rows)], { type: "application/json" });
        const motion = recordedMotion(steady.rows, steady.rateHz);
        return { blob, name: nameNow("motion", "json"), more: { motion } };
      },
      close,
    };
  },
};

const hint = () =>
  isSecureContext
    ? "Open this page on a phone."
    : "Open this page on a phone, over https: browsers give sensors to secure pages only.";

/** Some browsers ask their user, iOS always; this must follow a press of a button. */
async function allowed() {
  if (!window.DeviceMotionEvent) throw new Error(`This browser reads no motion sensors. ${hint()}`);
  if (!DeviceMotionEvent.requestPermission) return;
  if ((await DeviceMotionEvent.requestPermission()) !== "granted") {
    throw new Error("The phone does not allow its sensors. Reload the page to be asked again.");
  }
}

// All browsers of iOS are built on one engine, and no other engine knows this property.
const isFromIos = () => CSS.supports("-webkit-touch-callout", "none");

/**
 * An event as ax, ay, az in m/s2 with gravity, gx, gy, gz in deg/s; null for one without values.
 *
 * NOTE: two traps. All browsers give the rate about x, y, z as alpha, beta, gamma, whatever the
 * angles of the same names mean (w3c/deviceorientation issue 44). And iOS counts acceleration the
 * other way: face up at rest its z is -9.8, on Android and in the specification +9.8.
 */
function rowOf({ accelerationIncludingGravity: a, rotationRate: r }) {
  if (a?.x == null) return null;
  const sign = isFromIos() ? -1 : 1;
  const acceleration = [a.x * sign, a.y * sign, a.z * sign];
  return r?.alpha == null ? acceleration : [...acceleration, r.alpha, r.beta, r.gamma];
}

/** Rows at a steady rate: events come when the browser has time, so they are interpolated. */
function onGrid(times, rows) {
  const span = (times.at(-1) - times[0]) / 1000;
  if (rows.length < 10 || !(span > 0)) {
    throw new Error("That was too short; record for at least a second.");
  }
  const width = Math.min(...rows.map((row) => row.length));
  const rateHz = Math.max(1, Math.round((rows.length - 1) / span));
  const count = Math.floor(span * rateHz) + 1;
  let before = 0;
  const grid = [...Array(count).keys()].map((index) => {
    const time = times[0] + (index * 1000) / rateHz;
    while (before < times.length - 2 && times[before + 1] <= time) before += 1;
    const step = times[before + 1] - times[before];
    const share = step > 0 ? Math.min(1, (time - times[before]) / step) : 0;
    return [...Array(width).keys()].map((axis) => {
      const [from, to] = [rows[before][axis], rows[before + 1][axis]];
      return Number((from + (to - from) * share).toFixed(5));
    });
  });
  return { rows: grid, rateHz };
}
