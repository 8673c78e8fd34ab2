// A motion recording before it is sent: six traces, its rate and its units.
import { drawing, drawLine, themeColour } from "./canvas.js";
import { element } from "./element.js";
import { readTable } from "./motion_file.js";

const FORMATS = { csv: "csv", tsv: "csv", txt: "csv", json: "json", npy: "npy", npz: "npz", parquet: "parquet" };
const AXES = ["x", "y", "z"];
const SENSORS = [
  { words: "acceleration", first: 0, key: "accelerationUnit", units: ["m/s2", "g"] },
  { words: "rotation", first: 3, key: "rotationUnit", units: ["rad/s", "deg/s"] },
];

/** What a medium of motion carries: its table, if the page can read it, and what is declared. */
export async function readMotion(blob, name) {
  const format = FORMATS[name.split(".").pop().toLowerCase()] ?? "csv";
  const table = await readTable(blob, format);
  const accelerationUnit = table && looksLikeG(table.rows) ? "g" : "m/s2";
  return { format, table, declaredHz: null, accelerationUnit, rotationUnit: "rad/s" };
}

/** Motion that was recorded here: rows at a steady rate, with their units. */
export function recordedMotion(rows, rateHz) {
  const table = { rows, rateHz, hasClock: true };
  return { samples: rows, table, declaredHz: rateHz, accelerationUnit: "m/s2", rotationUnit: "deg/s" };
}

/** A phone at rest feels gravity: about 1 where the unit is g, 9.8 where it is m/s2. */
function looksLikeG(rows) {
  const sizes = rows.map((row) => Math.hypot(row[0], row[1], row[2])).sort((a, b) => a - b);
  const median = sizes[Math.floor(sizes.length / 2)];
  return median > 0.5 && median < 2;
}

/** Its preview; `tell` gets its length in words. */
export function showMotion(medium, tell) {
  const { table } = medium.motion;
  if (!table) return element("p", {}, "The service will read this file; there is no preview of it.");
  tell(factsOf(table));
  return traces(medium.motion, `of ${medium.name}`);
}

function factsOf({ rows, rateHz }) {
  if (!rateHz) return `${rows.length} rows`;
  return `${(rows.length / rateHz).toFixed(1)} s at ${Number(rateHz.toFixed(1))} Hz`;
}

/** Acceleration and rotation, three traces each; `motion` is read at every drawing. */
export function traces(motion, words) {
  const shown = element("div", { className: "traces" });
  const width = motion.table.rows[0]?.length ?? 6;
  for (const sensor of SENSORS.filter(({ first }) => first < width)) {
    const canvas = drawing(`Traces of ${sensor.words} ${words}`, (...surface) => {
      drawTraces(motion.table.rows, sensor.first, ...surface);
    });
    const unit = element("span", { className: "unit" }, `${sensor.words}, ${unitOf(motion, sensor)}`);
    unit.show = () => (unit.textContent = `${sensor.words}, ${unitOf(motion, sensor)}`);
    const axes = AXES.map((axis) => element("span", { className: `axis-${axis}` }, axis));
    const legend = element("span", { className: "axes" }, ...axes);
    shown.append(element("figure", {}, element("figcaption", {}, unit, legend), canvas));
  }
  return shown;
}

const unitOf = (motion, { key }) => motion[key].replace("2", "\u00b2");

/** Three of the columns of rows, on one scale; also drawn on the example's card. */
export function drawTraces(rows, first, context, width, height) {
  if (!rows.length) return;
  const columns = AXES.map((_, axis) => rows.map((row) => row[first + axis]));
  const all = columns.flat();
  const low = all.reduce((least, value) => Math.min(least, value), 0);
  const high = all.reduce((most, value) => Math.max(most, value), 0);
  const margin = (high - low || 1) * 0.08;
  const range = [low - margin, high + margin];
  const zero = height - ((0 - range[0]) / (range[1] - range[0])) * height;
  context.fillStyle = themeColour("line");
  context.fillRect(0, zero, width, 1);
  AXES.forEach((axis, index) => {
    drawLine(context, width, height, columns[index], range, themeColour(`axis-${axis}`));
  });
}

/** What must be declared of a file: its units, and its rate where it has no clock. */
export function motionFields(medium) {
  const { motion } = medium;
  if (motion.samples) return null;
  const fields = SENSORS.filter(({ first }) => !motion.table || first < motion.table.rows[0].length)
    .map((sensor) => unitField(medium, sensor));
  if (!motion.table?.hasClock) fields.unshift(rateField(medium));
  return element("div", { className: "medium-fields" }, ...fields);
}

function rateField({ motion }) {
  const isNeeded = motion.table !== null;
  const input = element("input", { type: "number", min: "1", max: "10000", step: "any", required: isNeeded });
  input.placeholder = isNeeded ? "such as 50" : "if no clock";
  input.addEventListener("input", () => {
    motion.declaredHz = input.value ? Number(input.value) : null;
  });
  return element("label", { className: "field" }, "Samples per second", input);
}

function unitField({ motion }, { words, key, units }) {
  const choices = units.map((unit) => element("option", { value: unit }, unit.replace("2", "\u00b2")));
  const select = element("select", {}, ...choices);
  select.value = motion[key];
  select.addEventListener("change", () => {
    motion[key] = select.value;
    for (const unit of select.closest(".medium").querySelectorAll(".unit")) unit.show();
  });
  return element("label", { className: "field" }, `${words[0].toUpperCase()}${words.slice(1)} in`, select);
}

/** The message part that carries a recording. */
export async function motionPart({ blob, motion }, base64) {
  const input = { acceleration_unit: motion.accelerationUnit, rotation_unit: motion.rotationUnit };
  if (motion.declaredHz) input.rate_hz = motion.declaredHz;
  if (motion.samples) input.samples = motion.samples;
  else Object.assign(input, { data: await base64(blob), format: motion.format });
  return { type: "input_imu", input_imu: input };
}
