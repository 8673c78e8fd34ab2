// Small media made here, so that a newcomer can try the built-in model at once.
import { drawing, drawTiles } from "./canvas.js";
import { element, icon } from "./element.js";
import { clipFrames, filmClip } from "./example_clip.js";
import { walk, walkFile } from "./example_motion.js";
import { drawScene, toPng } from "./example_scene.js";
import { beeps, beepsFile } from "./example_sound.js";
import { drawWave } from "./sound.js";
import { drawTraces } from "./traces.js";

const EXAMPLES = {
  image: {
    title: "A picture",
    question: "What is in the picture?",
    make: async () => ({ blob: await toPng(drawScene()), name: "shapes.png" }),
    sketch: () => {
      const scene = drawScene();
      return (context, width, height) => drawTiles(context, [scene], width, height);
    },
  },
  video: {
    title: "A clip",
    question: "What happens in the video?",
    make: filmClip,
    sketch: () => {
      const frames = clipFrames().filter((_, index) => index % 7 === 0);
      return (context, width, height) => drawTiles(context, frames, width, height);
    },
  },
  audio: {
    title: "A sound",
    question: "How many beeps do you hear?",
    make: async () => ({ blob: beepsFile(), name: "beeps.wav" }),
    sketch: () => {
      const samples = beeps();
      return (...surface) => drawWave(samples, 1, ...surface);
    },
  },
  imu: {
    title: "A motion",
    question: "How does the phone move?",
    make: async () => ({ blob: walkFile(), name: "walk.csv" }),
    sketch: () => {
      const rows = walk();
      return (...surface) => drawTraces(rows, 0, ...surface);
    },
  },
};

/** `{kind, question, make}`; `make()` gives `{blob, name}`. */
export function exampleOf(kind) {
  return { kind, ...EXAMPLES[kind] };
}

/** A drawing with a margin around it. */
function inset(draw, margin = 12) {
  return (context, width, height) => {
    context.translate(margin, margin);
    draw(context, width - 2 * margin, height - 2 * margin);
  };
}

/** The example's card on the welcome page. */
export function exampleCard(kind, choose) {
  const { title, question, sketch } = EXAMPLES[kind];
  const button = element(
    "button",
    { type: "button", className: "example", dataset: { kind } },
    drawing("Sketch of the example", inset(sketch())),
    element(
      "span",
      { className: "example-words" },
      element("strong", {}, icon(kind), title),
      element("span", {}, question),
    ),
  );
  button.querySelector("canvas").setAttribute("aria-hidden", "true");
  button.addEventListener("click", () => choose(exampleOf(kind)));
  return element("li", {}, button);
}
