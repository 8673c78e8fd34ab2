// The media that wait to be sent, each with its preview.
import { byId, element, icon } from "./element.js";
import { forget, KINDS } from "./media.js";
import { motionFields } from "./motion.js";

/** A medium with its name, its facts and its preview; also used by the conversation. */
export function mediumCard(medium, { remove = null, tag = "div" } = {}) {
  const facts = element("span", { className: "medium-facts" });
  const head = element(
    "div",
    { className: "medium-head" },
    icon(medium.kind),
    element("span", { className: "medium-name", title: medium.name }, medium.name),
    facts,
  );
  if (remove) {
    const button = element("button", { type: "button", className: "medium-remove" }, icon("close"));
    button.setAttribute("aria-label", `Remove ${medium.name}`);
    button.addEventListener("click", remove);
    head.append(button);
  }
  const body = element("div", { className: "medium-body" });
  const card = element(tag, { className: "medium", dataset: { kind: medium.kind } }, head, body);
  body.append(KINDS[medium.kind].show(medium, (words) => (facts.textContent = words)));
  return card;
}

/** The tray of the composer. */
export class Tray {
  constructor() {
    this.media = [];
    this.list = byId("tray");
  }

  add(medium) {
    this.media.push(medium);
    const card = mediumCard(medium, { tag: "li", remove: () => this.remove(medium, card) });
    const fields = medium.kind === "imu" ? motionFields(medium) : null;
    if (fields) card.append(fields);
    this.list.append(card);
    this.list.hidden = false;
  }

  remove(medium, card) {
    const next = card.nextElementSibling ?? card.previousElementSibling;
    this.media = this.media.filter((each) => each !== medium);
    card.remove();
    forget(medium);
    this.list.hidden = this.media.length === 0;
    (next?.querySelector(".medium-remove") ?? byId("question")).focus();
  }

  /** Empties the tray into the conversation. */
  take() {
    const { media } = this;
    this.media = [];
    this.list.replaceChildren();
    this.list.hidden = true;
    return media;
  }
}
