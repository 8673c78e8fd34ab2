// The four menus under the question: choose a file, record, or take an example.
import { byId, element, icon } from "./element.js";
import { exampleOf } from "./examples.js";
import { KINDS } from "./media.js";
import { photoSource, clipSource } from "./record_camera.js";
import { motionSource } from "./record_motion.js";
import { soundSource } from "./record_sound.js";
import { record } from "./recorder.js";

const RECORDED = {
  image: ["Take a photo", photoSource],
  video: ["Record with the camera", clipSource],
  audio: ["Record with the microphone", soundSource],
  imu: ["Record this phone's sensors", motionSource],
};

/** Fills the menus; `add(kind, blob, name, more)` takes what was chosen, `tell` what failed. */
export function fillTools({ add, addExample, tell }) {
  for (const [kind, { label, accept }] of Object.entries(KINDS)) {
    const input = element("input", { type: "file", accept, multiple: true, hidden: true });
    input.dataset.kind = kind;
    input.addEventListener("change", () => {
      for (const file of input.files) add(kind, file);
      input.value = "";
    });
    const [words, source] = RECORDED[kind];
    const menu = element("details", { className: "menu", dataset: { kind } });
    menu.name = "attach";
    menu.append(
      element("summary", { title: label }, icon(kind), element("span", {}, label)),
      element(
        "div",
        { className: "menu-items" },
        item(menu, "Choose a file", () => input.click()),
        item(menu, words, () => addRecorded(kind, source, { add, tell })),
        item(menu, "Make an example", () => addExample(exampleOf(kind))),
      ),
      input,
    );
    byId("tools").append(menu);
  }
  document.addEventListener("click", (event) => {
    for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of openMenus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
}

/** Only what the model takes can be attached. */
export function allowKinds(modalities) {
  for (const menu of byId("tools").querySelectorAll(".menu")) {
    menu.hidden = !modalities.includes(menu.dataset.kind);
  }
}

async function addRecorded(kind, source, { add, tell }) {
  try {
    const recorded = await record(source);
    if (recorded) add(kind, recorded.blob, recorded.name, recorded.more);
  } catch (error) {
    tell(error.message);
  }
}

const openMenus = () => byId("tools").querySelectorAll(".menu[open]");

function item(menu, words, act) {
  const button = element("button", { type: "button" }, words);
  button.addEventListener("click", () => {
    menu.open = false;
    act();
  });
  return button;
}
