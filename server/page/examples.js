// Small media made here, so that a newcomer can try the built-in model at once.
import { drawing, drawInside } from "./canvas.js";
import { drawFrames } from "./clip.js";
import { element, icon } from "./element.js";
import { clipFrames, filmClip } from "./example_clip.js";
import { walk, walkFile } from "./example_motion.js";
import { drawScene, toPng } from "./example_scene.js";
import { beeps, beepsFile } from "./example_sound.js";
import { drawTraces } from "./motion.js";
import { drawWave } from "./sound.js";

const EXAMPLES = {
  image: {
    title: "A picture",
    question: "What is in the picture?",
    make: async () => ({ blob: await toPng(drawScene()), name: "shapes.png" }),
    sketch: () => {
      const scene = drawScene();
      return (context, width, height) => drawInside(context, scene, 0, 0, width, height);
    },
  },
  video: {
    title: "A clip",
    question: "What happens in the video?",
    make: filmClip,
    sketch: () => {
      const frames = clipFrames().filter((_, index) => index % 7 === 0);
      return (...surface) => drawFrames(frames, ...surface);
    },
  },
  audio: {
    title: "A sound",
    question: "How many beeps do you hear?",
    make: async () => ({ blob: beepsFile(), name: "beeps.wav" }),
    sketch: () => {
      const samples = beeps();
      return (context, width, height) => {
        context.translate(14, 14);
        drawWave(samples, 1, context, width - 28, height - 28);
      };
    },
  },
  imu: {
    title: "A motion",
    question: "How does the phone move?",
    make: async () => ({ blob: walkFile(), name: "walk.csv" }),
    sketch: () => {
      const rows = walk();
      return (context, width, height) => {
        context.translate(0, 8);
        drawTraces(rows, 0, context, width, height - 16);
      };
    },
  },
};

/** `{kind, question, make}`; `make()` gives `{blob, name}`. */
export function exampleOf(kind) {
  return { kind, ...EXAMPLES[kind] };
}

/** The example's card on the welcome page. */
export function exampleCard(kind, choose) {
  const { title, question, sketch } = EXAMPLES[kind];
  const button = element(
    "button",
    { type: "button", className: "example", dataset: { kind } },
    drawing(`Sketch of the example`, sketch()),
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
