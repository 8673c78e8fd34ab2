// A motion recording before it is sent: its traces, and what must be declared of it.
import { element } from "./element.js";
import { readTable } from "./motion_file.js";
import { SENSORS, sensorsOf, traces, unitInWords } from "./traces.js";

const NO_CLOCK = "This file has no times. Say how many of its rows make a second.";
const FORMATS = { json: "json", npy: "npy", npz: "npz", parquet: "parquet", zip: "zip" };
// Of a file that the page cannot read: its names may state the units, and then they count.
const AS_STATED = "";

/** What a medium of motion carries: its table, if the page can read it, and what is declared. */
export async function readMotion(blob, name) {
  const format = FORMATS[name.split(".").pop().toLowerCase()] ?? "csv";
  const table = await readTable(blob, format);
  if (!table) {
    const units = { accelerationUnit: AS_STATED, rotationUnit: AS_STATED };
    return { format, table, declaredHz: null, ...units };
  }
  const accelerationUnit = looksLikeG(table.rows) ? "g" : "m/s2";
  return { format, table, declaredHz: null, accelerationUnit, rotationUnit: "rad/s" };
}

/** Motion that was recorded here: rows at a steady rate, in m/s2 and deg/s. */
export function recordedMotion(rows, rateHz) {
  return {
    samples: rows,
    table: { rows, rateHz, hasClock: true },
    declaredHz: rateHz,
    accelerationUnit: "m/s2",
    rotationUnit: "deg/s",
  };
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
  if (!table) {
    return element("p", {}, "The service will read this file; this page cannot draw it.");
  }
  tell(factsOf(table));
  return traces(medium.motion, `of ${medium.name}`);
}

function factsOf({ rows, rateHz }) {
  if (!rateHz) return `${rows.length} rows`;
  return `${(rows.length / rateHz).toFixed(1)} s at ${Number(rateHz.toFixed(1))} Hz`;
}

/** Fields for what a file cannot say itself: its units, and its rate where it has no clock. */
export function motionFields(medium) {
  const { samples, table } = medium.motion;
  if (samples) return null;
  const sensors = table ? sensorsOf(table.rows[0].length) : SENSORS;
  const fields = sensors.map((sensor) => unitField(medium, sensor));
  if (!table?.hasClock) fields.unshift(rateField(medium));
  return element("div", { className: "medium-fields" }, ...fields);
}

function rateField({ motion }) {
  const input = element("input", { type: "number", min: "1", max: "10000", step: "any" });
  // A file that the page cannot read may hold times; the service will tell if it does not.
  const isNeeded = motion.table !== null;
  const take = () => {
    motion.declaredHz = input.value ? Number(input.value) : null;
    const isMissing = isNeeded && !input.value;
    input.setCustomValidity(isMissing ? NO_CLOCK : "");
  };
  input.placeholder = isNeeded ? "such as 50" : "if no clock";
  input.addEventListener("input", take);
  take();
  return element("label", { className: "field" }, "Samples per second", input);
}

function unitField({ motion }, { words, key, units }) {
  const choices = units.map((unit) => element("option", { value: unit }, unitInWords(unit)));
  if (!motion.table) {
    choices.unshift(element("option", { value: AS_STATED }, "the unit that the file states"));
  }
  const select = element("select", {}, ...choices);
  select.value = motion[key];
  select.addEventListener("change", () => {
    motion[key] = select.value;
    for (const unit of select.closest(".medium").querySelectorAll(".unit")) unit.show();
  });
  const label = `${words[0].toUpperCase()}${words.slice(1)} in`;
  return element("label", { className: "field" }, label, select);
}

/** The message part that carries a recording. */
export async function motionPart({ blob, motion }, base64) {
  const input = {};
  if (motion.accelerationUnit) input.acceleration_unit = motion.accelerationUnit;
  if (motion.rotationUnit) input.rotation_unit = motion.rotationUnit;
  if (motion.declaredHz) input.rate_hz = motion.declaredHz;
  if (motion.samples) input.samples = motion.samples;
  else Object.assign(input, { data: await base64(blob), format: motion.format });
  return { type: "input_imu", input_imu: input };
}
