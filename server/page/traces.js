// Motion as lines: three traces of acceleration, three of rotation.
import { drawing, drawLine, themeColour } from "./canvas.js";
import { element } from "./element.js";

const AXES = ["x", "y", "z"];
// Where the scale stands, beside the traces; in CSS pixels.
const GUTTER = 34;

/** The two sensors: which columns are theirs, and in which units they may come. */
export const SENSORS = [
  { words: "acceleration", first: 0, key: "accelerationUnit", units: ["m/s2", "g"] },
  { words: "rotation", first: 3, key: "rotationUnit", units: ["rad/s", "deg/s"] },
];

/** Those of the sensors that rows of this width have. */
export const sensorsOf = (width) => SENSORS.filter(({ first }) => first < width);

/** A unit as it is written for people. */
export const unitInWords = (unit) => unit.replace("2", "\u00b2");

/** The traces of a motion, named `words`; its rows are read at every drawing. */
export function traces(motion, words) {
  const shown = element("div", { className: "traces" });
  for (const sensor of sensorsOf(motion.table.rows[0]?.length ?? 6)) {
    const canvas = drawing(`Traces of ${sensor.words} ${words}`, (context, width, height) => {
      drawTraces(motion.table.rows, sensor.first, context, width - GUTTER, height);
      drawScale(motion.table.rows, sensor.first, context, width, height);
    });
    const caption = element("figcaption", {}, unitLabel(motion, sensor), legend());
    shown.append(element("figure", {}, caption, canvas));
  }
  return shown;
}

/** Has `show()`, for when another unit is declared. */
function unitLabel(motion, { words, key }) {
  const label = element("span", { className: "unit" });
  label.show = () => (label.textContent = `${words}, ${unitInWords(motion[key])}`);
  label.show();
  return label;
}

function legend() {
  const axes = AXES.map((axis) => element("span", { className: `axis-${axis}` }, axis));
  return element("span", { className: "axes" }, ...axes);
}

/** Three of the columns of rows, on one scale that has zero in it. */
export function drawTraces(rows, first, context, width, height) {
  if (!rows.length) return;
  const [least, most] = extent(rows, first);
  const [low, high] = [Math.min(least, 0), Math.max(most, 0)];
  const margin = (high - low || 1) * 0.08;
  const range = [low - margin, high + margin];
  context.fillStyle = themeColour("line");
  context.fillRect(0, (height * range[1]) / (range[1] - range[0]), width, 1);
  AXES.forEach((axis, index) => {
    const column = rows.map((row) => row[first + index]);
    drawLine(context, width, height, column, range, themeColour(`axis-${axis}`));
  });
}

/** The largest and the smallest value, in the gutter. */
function drawScale(rows, first, context, width, height) {
  if (!rows.length) return;
  const [least, most] = extent(rows, first);
  context.font = `10px ${getComputedStyle(document.body).fontFamily}`;
  context.textAlign = "right";
  context.fillStyle = themeColour("muted");
  context.fillText(inWords(most), width - 5, 12);
  context.fillText(inWords(least), width - 5, height - 5);
}

const inWords = (value) => Number(value.toPrecision(2)).toString();

function extent(rows, first) {
  let [least, most] = [Infinity, -Infinity];
  for (const row of rows) {
    for (let column = first; column < first + 3; column += 1) {
      least = Math.min(least, row[column]);
      most = Math.max(most, row[column]);
    }
  }
  return [least, most];
}
