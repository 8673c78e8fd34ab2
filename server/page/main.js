// Puts the page together.
import { announce } from "./announcer.js";
import { Composer } from "./composer.js";
import { byId, element } from "./element.js";
import { exampleCard } from "./examples.js";
import { KINDS, kindOf } from "./media.js";
import { listModels, setApiKey } from "./service.js";
import { allowKinds, fillTools } from "./tools.js";

const RETRY_MS = 2000;

const composer = new Composer({ askForKey });
const add = composer.add.bind(composer);
const addExample = composer.addExample.bind(composer);
let modelOf = new Map();

fillTools({ add, addExample, tell: composer.tell.bind(composer) });
byId("model").addEventListener("change", showModalities);
byId("new").addEventListener("click", () => composer.startOver());
byId("key-save").addEventListener("click", useKey);
byId("key").addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  useKey();
});
takeDropped();
takePasted();
await connect();

/** Lists the models; tries again while the service starts. */
async function connect() {
  const picker = byId("model");
  try {
    const models = await listModels();
    modelOf = new Map(models.map((model) => [model.id, model]));
    picker.replaceChildren(...models.map(({ id }) => element("option", { value: id }, id)));
    picker.disabled = false;
    byId("key-panel").hidden = true;
    composer.tell(null);
    showModalities();
  } catch (error) {
    if (error.status === 401) {
      picker.replaceChildren(element("option", {}, "Needs a key"));
      askForKey();
      return;
    }
    composer.tell(error.message, { isCalm: error.code === "not_ready" });
    setTimeout(connect, RETRY_MS);
  }
}

function showModalities() {
  const model = modelOf.get(byId("model").value);
  const modalities = model?.modalities ?? [];
  allowKinds(modalities);
  const kinds = Object.keys(KINDS).filter((kind) => modalities.includes(kind));
  composer.needed = model?.needs_media ? kinds : [];
  byId("examples").replaceChildren(...kinds.map((kind) => exampleCard(kind, addExample)));
}

function askForKey() {
  byId("key-panel").hidden = false;
  byId("key").focus();
  announce("This service asks for an API key.");
}

function useKey() {
  const key = byId("key").value.trim();
  if (!key) return;
  setApiKey(key);
  byId("key").value = "";
  connect().then(() => {
    if (byId("key-panel").hidden) byId("question").focus();
    else composer.tell("The service did not take this key.");
  });
}

function addFiles(files) {
  for (const file of files) {
    const kind = kindOf(file);
    if (kind) add(kind, file);
    else composer.tell(`${file.name} is no image, clip, sound or motion recording.`);
  }
}

function takeDropped() {
  const drop = byId("drop");
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    drop.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) drop.hidden = true;
  });
  addEventListener("drop", (event) => {
    drop.hidden = true;
    if (!carriesFiles(event)) return;
    event.preventDefault();
    addFiles(event.dataTransfer.files);
  });
}

function takePasted() {
  addEventListener("paste", (event) => {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    addFiles(event.clipboardData.files);
  });
}
