// Tells screen readers what happens, sentence by sentence: a live region that grew by single
// letters would stutter.
import { byId } from "./element.js";

let unsaid = "";

/** Says this now. */
export function announce(words) {
  unsaid = "";
  byId("announcer").textContent = words;
}

/** Says a growing answer, each sentence once it is whole. */
export function announceGrowing(piece) {
  unsaid += piece;
  const whole = /^.*[.!?:](?=\s)/s.exec(unsaid)?.[0];
  if (!whole) return;
  byId("announcer").textContent = whole;
  unsaid = unsaid.slice(whole.length);
}

/** Says what is left of an answer that has ended. */
export function announceEnd() {
  if (unsaid.trim()) byId("announcer").textContent = unsaid;
  unsaid = "";
}
