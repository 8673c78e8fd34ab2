// A clip before it is sent: frames spread over its length, and a player.
import { drawing, drawTiles } from "./canvas.js";
import { element, icon } from "./element.js";

const NUM_FRAMES = 6;
const GIVE_UP_MS = 8000;

/** Its preview; `tell` gets its length in words. */
export function showClip(medium, tell) {
  medium.frames ??= framesOf(medium.url);
  const shown = element("div", { className: "player" });
  medium.frames.then(
    ({ frames, seconds }) => {
      tell(`${seconds.toFixed(1)} s`);
      const label = `${frames.length} frames of the clip ${medium.name}`;
      const strip = drawing(label, (context, width, height) => {
        drawTiles(context, frames, width, height);
      });
      const play = element("button", { type: "button", className: "play" }, icon("play"));
      play.setAttribute("aria-label", `Play ${medium.name}`);
      play.addEventListener("click", () => playWithin(shown, medium));
      shown.replaceChildren(play, strip);
    },
    (error) => shown.replaceChildren(error.message),
  );
  return shown;
}

function playWithin(shown, medium) {
  const video = element("video", { src: medium.url, controls: true, muted: true });
  video.playsInline = true;
  video.setAttribute("aria-label", medium.name);
  shown.replaceChildren(video);
  video.focus();
  video.play();
}

async function framesOf(url) {
  const video = element("video", { muted: true, preload: "auto", src: url });
  video.playsInline = true;
  await once(video, "loadeddata");
  const seconds = await lengthOf(video);
  const frames = [];
  for (let index = 0; index < NUM_FRAMES; index += 1) {
    const moment = ((index + 0.5) / NUM_FRAMES) * seconds;
    const isThere = once(video, "seeked");
    video.currentTime = moment;
    await isThere;
    frames.push(await createImageBitmap(video));
  }
  return { frames, seconds };
}

/** Recorders leave the length out of a file; seeking past its end makes the browser find it. */
async function lengthOf(video) {
  if (!Number.isFinite(video.duration)) {
    const isThere = once(video, "seeked");
    video.currentTime = 1e6;
    await isThere;
  }
  return Number.isFinite(video.duration) ? video.duration : video.currentTime;
}

function once(video, name) {
  return new Promise((resolve, reject) => {
    const fail = () => {
      reject(new Error("This browser cannot show it; the service may still read it."));
    };
    video.addEventListener(name, resolve, { once: true });
    video.addEventListener("error", fail, { once: true });
    setTimeout(fail, GIVE_UP_MS);
  });
}
