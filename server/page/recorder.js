// The dialog in which something is recorded.
import { byId } from "./element.js";

const NAMES = { video: "camera", audio: "microphone" };

/**
 * Records from a source, and returns `{blob, name, more}`, or null where the user cancelled.
 *
 * A source is `{title, begin, mostSeconds, open(view, tell)}`; `mostSeconds` 0 takes one moment.
 * What it opens has `start()`, `finish()` for the recording, and `close()`.
 */
export async function record(source) {
  const dialog = byId("recorder");
  const [go, cancel, words] = ["go", "cancel", "words"].map((id) => byId(`recorder-${id}`));
  const tell = (text) => (words.textContent = text);
  byId("recorder-title").textContent = source.title;
  byId("recorder-view").replaceChildren();
  go.textContent = source.begin;
  go.disabled = true;
  tell("Asking the browser ...");
  dialog.showModal();
  const isCancelled = new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(null), { once: true });
    cancel.onclick = () => dialog.close();
  });
  const opening = open(source, tell);
  try {
    const session = await Promise.race([opening, isCancelled]);
    if (!session) return await isCancelled;
    go.disabled = false;
    go.focus();
    return await run(source, session, { go, tell, isCancelled });
  } finally {
    // A permission that is given after the dialog was closed must not leave the camera on.
    opening.then((session) => session?.close());
    go.onclick = null;
    dialog.close();
  }
}

/** Opens the source; null if that fails, after the page has said so. */
async function open(source, tell) {
  try {
    const session = await source.open(byId("recorder-view"), tell);
    tell(source.mostSeconds ? `Up to ${source.mostSeconds} seconds.` : "");
    return session;
  } catch (error) {
    tell(error.message);
    return null;
  }
}

async function run(source, session, { go, tell, isCancelled }) {
  if ((await Promise.race([pressed(go), isCancelled])) === null) return null;
  if (!source.mostSeconds) return session.finish();
  await session.start();
  go.textContent = "Stop";
  const start = performance.now();
  const show = () => tell(`${((performance.now() - start) / 1000).toFixed(1)} s`);
  const clock = setInterval(show, 100);
  const end = await Promise.race([pressed(go), pause(source.mostSeconds * 1000), isCancelled]);
  clearInterval(clock);
  return end === null ? null : session.finish();
}

const pressed = (button) => new Promise((resolve) => (button.onclick = resolve));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The camera or microphone, or an error that says what to do. */
export async function stream(constraints) {
  const name = NAMES[Object.keys(constraints)[0]];
  if (!navigator.mediaDevices) {
    throw new Error(`The ${name} can be used on https pages and on localhost only.`);
  }
  try {
    return await navigator.mediaDevices.getUserMedia(constraints);
  } catch (error) {
    if (error.name === "NotFoundError") throw new Error(`This device has no ${name}.`);
    if (error.name === "NotAllowedError") {
      throw new Error(`The browser does not allow the ${name}. Allow it here, then try again.`);
    }
    throw new Error(`The ${name} cannot be used: ${error.message}`);
  }
}

/** A name for something recorded now. */
export function nameNow(what, extension) {
  const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "-");
  return `${what}-${time}.${extension}`;
}
