// The conversation on the page.
import { byId, element, icon } from "./element.js";
import { figures } from "./figures.js";
import { mediumCard } from "./tray.js";

const REMARKS = {
  length: "The answer was cut off: it reached the most tokens that an answer may have.",
  content_filter: "A safety check of the service ended the answer.",
  stopped: "You stopped the answer.",
  nothing: "The model said nothing.",
};

/** Shows what is asked, and returns the place of its answer. */
export function showTurn(turn) {
  byId("welcome").hidden = true;
  const media = turn.media.map((medium) => mediumCard(medium));
  const asked = element("article", { className: "asked" });
  asked.setAttribute("aria-label", "You");
  if (media.length) asked.append(element("div", { className: "media" }, ...media));
  asked.append(element("p", { className: "words" }, turn.words));
  const answer = new AnswerView();
  byId("thread").append(asked, answer.place);
  scrollTo({ top: document.body.scrollHeight, behavior: "smooth" });
  return answer;
}

/** Back to the beginning. */
export function clearThread() {
  byId("thread").replaceChildren();
  byId("welcome").hidden = false;
}

/** Who reads the end of the page goes on seeing it while it grows; others stay where they are. */
function staysAtEnd(grow) {
  const isAtEnd = innerHeight + scrollY >= document.body.scrollHeight - 80;
  grow();
  if (isAtEnd) scrollTo({ top: document.body.scrollHeight });
}

class AnswerView {
  constructor() {
    this.words = element("div", { className: "words" });
    this.place = element("article", { className: "answered streaming", "aria-label": "The model" });
    this.place.append(this.words);
  }

  /** Empty again, for another try. */
  restart() {
    this.words.textContent = "";
    this.place.classList.add("streaming");
    this.place.replaceChildren(this.words);
  }

  append(text) {
    staysAtEnd(() => this.words.append(text));
  }

  /** The answer has ended; `remark` is a key of REMARKS, or nothing. */
  finish(counted, remark) {
    this.place.classList.remove("streaming");
    staysAtEnd(() => {
      if (remark) this.remark(REMARKS[remark]);
      this.place.append(figures(counted));
    });
  }

  remark(words) {
    this.place.append(element("p", { className: "remark" }, words));
  }

  /** The answer failed, in words, with a way to try again. */
  fail(error, again) {
    this.place.classList.remove("streaming");
    if (!this.words.textContent) this.words.remove();
    const button = element("button", { type: "button", className: "plain" }, icon("again"));
    button.append("Try again");
    button.addEventListener("click", again);
    const failure = element("div", { className: "failure", role: "alert" });
    failure.append(element("p", {}, error.message), button);
    if (error.requestId && error.status >= 500) {
      failure.append(element("small", {}, `Request ${error.requestId}`));
    }
    this.place.append(failure);
    failure.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }
}
