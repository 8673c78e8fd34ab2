// A sound before it is sent: its waveform, and a player.
import { drawing, themeColour } from "./canvas.js";
import { element, icon } from "./element.js";

// Sounds fill the height, but the hiss of a silent room does not.
const QUIET = 0.05;

/** Its preview; `tell` gets its length in words. */
export function showSound(medium, tell) {
  medium.wave ??= decode(medium.blob);
  const shown = element("div", { className: "player" });
  medium.wave.then(
    ({ samples, seconds }) => {
      tell(`${seconds.toFixed(1)} s`);
      shown.replaceChildren(...player(medium, samples, seconds));
    },
    () => shown.replaceChildren("This browser cannot play it; the service may still read it."),
  );
  return shown;
}

/** The waveform as bars, those before `played` (0 to 1) in full colour. */
export function drawWave(samples, played, context, width, height) {
  const pitch = 4;
  const count = Math.floor(width / pitch);
  const share = samples.length / count;
  const colour = themeColour("audio");
  const loudest = samples.reduce((most, value) => Math.max(most, Math.abs(value)), QUIET);
  context.fillStyle = colour;
  for (let bar = 0; bar < count; bar += 1) {
    let most = 0;
    for (let at = Math.floor(bar * share); at < Math.floor((bar + 1) * share); at += 1) {
      most = Math.max(most, Math.abs(samples[at]));
    }
    const length = Math.max(2.5, (most / loudest) * (height - 8));
    context.globalAlpha = bar / count < played ? 1 : 0.5;
    context.beginPath();
    context.roundRect(bar * pitch, (height - length) / 2, pitch - 1.5, length, 1.25);
    context.fill();
  }
  context.globalAlpha = 1;
}

function player(medium, samples, seconds) {
  const audio = (medium.audio ??= new Audio(medium.url));
  const label = `Waveform of ${medium.name}, ${seconds.toFixed(1)} seconds`;
  const wave = drawing(label, (...canvas) => {
    drawWave(samples, audio.currentTime === 0 ? 1 : audio.currentTime / seconds, ...canvas);
  });
  const button = element("button", { type: "button", className: "play" }, icon("play"));
  const show = () => {
    button.replaceChildren(icon(audio.paused ? "play" : "pause"));
    button.setAttribute("aria-label", `${audio.paused ? "Play" : "Pause"} ${medium.name}`);
    wave.redraw();
  };
  button.addEventListener("click", () => (audio.paused ? audio.play() : audio.pause()));
  audio.addEventListener("ended", () => (audio.currentTime = 0));
  for (const name of ["play", "pause", "timeupdate"]) audio.addEventListener(name, show);
  show();
  return [button, wave];
}

/** Samples of the first channel; an offline context decodes without asking to play. */
async function decode(blob) {
  const context = new OfflineAudioContext(1, 1, 44100);
  const buffer = await context.decodeAudioData(await blob.arrayBuffer());
  return { samples: buffer.getChannelData(0), seconds: buffer.duration };
}
