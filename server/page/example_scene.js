// A picture as the built-in model knows them: anymal/playground/scenes.py is its model.

export const SIDE = 96;
const COLOURS = {
  red: "rgb(214 39 40)",
  green: "rgb(44 150 44)",
  blue: "rgb(40 80 220)",
  yellow: "rgb(240 210 40)",
  purple: "rgb(140 60 180)",
  black: "rgb(20 20 20)",
};
const RADIUS = { small: 0.075, large: 0.135 };
const GROUND = "rgb(243 243 243)";

const THINGS = [
  { shape: "circle", colour: "red", size: "large", place: 0 },
  { shape: "star", colour: "blue", size: "large", place: 4 },
  { shape: "square", colour: "green", size: "small", place: 8 },
];

/** The picture. Places are counted row by row, three to a row. */
export function drawScene() {
  const canvas = blank();
  for (const { shape, colour, size, place } of THINGS) {
    const [x, y] = [((place % 3) + 0.5) / 3, (Math.floor(place / 3) + 0.5) / 3];
    paint(canvas, shape, colour, x, y, RADIUS[size]);
  }
  return canvas;
}

/** A light ground. */
export function blank() {
  const canvas = document.createElement("canvas");
  canvas.width = SIDE;
  canvas.height = SIDE;
  const context = canvas.getContext("2d");
  context.fillStyle = GROUND;
  context.fillRect(0, 0, SIDE, SIDE);
  return canvas;
}

/** One shape centred at (x, y); lengths as fractions of the side. */
export function paint(canvas, shape, colour, x, y, radius) {
  const context = canvas.getContext("2d");
  const [cx, cy, r] = [x * SIDE, y * SIDE, radius * SIDE];
  context.fillStyle = COLOURS[colour];
  context.beginPath();
  if (shape === "circle") context.arc(cx, cy, r, 0, 2 * Math.PI);
  else if (shape === "square") context.rect(cx - r * 0.9, cy - r * 0.9, r * 1.8, r * 1.8);
  else for (const [px, py] of corners(shape, cx, cy, r * 1.15)) context.lineTo(px, py);
  context.fill();
}

/** Corners of a triangle or of a five-pointed star, tip upward. */
function corners(shape, cx, cy, r) {
  const radii = shape === "triangle" ? [r, r, r] : Array(5).fill([r, r * 0.42]).flat();
  return radii.map((length, index) => {
    const angle = (index * 2 * Math.PI) / radii.length - Math.PI / 2;
    return [cx + length * Math.cos(angle), cy + length * Math.sin(angle)];
  });
}

export function toPng(canvas) {
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}
