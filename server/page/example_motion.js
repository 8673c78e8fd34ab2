// A motion as the built-in model knows them: anymal/playground/motions.py is its model.

const RATE_HZ = 50;
const NUM_SAMPLES = 128;
const GRAVITY = 9.80665;
const CADENCE_HZ = 2.6;
const STRENGTH = 2.2;
const SWING = 0.5;
const NOISE = [0.03, 0.03, 0.03, 0.01, 0.01, 0.01];

/** A phone that walks at a fast pace: rows in m/s2 and rad/s. */
export function walk() {
  return [...Array(NUM_SAMPLES).keys()].map((index) => {
    const phase = 2 * Math.PI * CADENCE_HZ * (index / RATE_HZ);
    const up = STRENGTH * (Math.sin(phase) + 0.4 * Math.sin(2 * phase + 1));
    const side = Math.sin(phase / 2);
    const row = [0.5 * STRENGTH * side, 0, GRAVITY + up, 0, SWING * side, 0];
    return row.map((value, channel) => value + gaussian() * NOISE[channel]);
  });
}

/** The rows as a CSV file with a clock. */
export function walkFile() {
  const lines = walk().map((row, index) =>
    [index / RATE_HZ, ...row].map((value) => value.toFixed(4)).join(","),
  );
  return new Blob([["t_s,ax,ay,az,gx,gy,gz", ...lines, ""].join("\n")], { type: "text/csv" });
}

/** Box and Muller's transform. */
function gaussian() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
