// A clip as the built-in model knows them: anymal/playground/clips.py is its model.
import { blank, paint } from "./example_scene.js";
import { filmOf } from "./record_camera.js";

const NUM_FRAMES = 16;
const FRAMES_PER_SECOND = 8;
const TRAVEL = 0.68;
const RADIUS = 0.13;

/** A purple circle that moves right quickly. */
export function clipFrames() {
  return [...Array(NUM_FRAMES).keys()].map((index) => {
    const canvas = blank();
    const x = 0.5 + TRAVEL * (index / (NUM_FRAMES - 1) - 0.5);
    paint(canvas, "circle", "purple", x, 0.5, RADIUS);
    return canvas;
  });
}

/** The frames as a film; takes as long as the film, because browsers record what they show. */
export async function filmClip() {
  const frames = clipFrames();
  const screen = blank();
  const context = screen.getContext("2d");
  const film = filmOf(screen.captureStream(), "moving.webm");
  context.drawImage(frames[0], 0, 0);
  film.start();
  for (const frame of frames) {
    context.drawImage(frame, 0, 0);
    await new Promise((resolve) => setTimeout(resolve, 1000 / FRAMES_PER_SECOND));
  }
  return film.finish();
}
