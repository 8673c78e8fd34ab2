// The question being written: its words, its media, and the way to the answer.
import { announce, announceEnd, announceGrowing } from "./announcer.js";
import { Conversation } from "./conversation.js";
import { byId } from "./element.js";
import { forget, KINDS, mediumOf } from "./media.js";
import { streamAnswer } from "./service.js";
import { clearThread, showTurn } from "./thread.js";
import { Tray } from "./tray.js";

/** What `field-sizing` does in style sheets, for browsers that do not know it. */
function growToFit({ target }) {
  if (CSS.supports("field-sizing", "content")) return;
  target.style.height = "auto";
  target.style.height = `${target.scrollHeight}px`;
}

/** Holds one conversation at a time. */
export class Composer {
  /** `askForKey()` is called when the service answers that it wants one. */
  constructor({ askForKey }) {
    this.askForKey = askForKey;
    this.tray = new Tray();
    this.conversation = new Conversation();
    this.answering = null;
    /** Kinds of media, one of which a conversation must hold; none where words are enough. */
    this.needed = [];
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    byId("stop").addEventListener("click", () => this.answering?.abort());
    byId("question").addEventListener("keydown", (event) => this.onKey(event));
    byId("question").addEventListener("input", growToFit);
  }

  onKey(event) {
    if (event.key === "Escape") this.answering?.abort();
    // On a phone's keyboard Enter is the only way to a new line.
    const isSend = event.key === "Enter" && !event.shiftKey && !event.isComposing;
    if (!isSend || matchMedia("(pointer: coarse)").matches) return;
    event.preventDefault();
    byId("composer").requestSubmit();
  }

  async add(kind, blob, name, more) {
    this.tell(null);
    this.tray.add(await mediumOf(kind, blob, name, more));
    announce(`${name ?? blob.name} is attached`);
  }

  async addExample({ kind, question, make }) {
    byId("question").value = question;
    byId("question").focus();
    if (kind === "video") this.tell("Filming the example: two seconds ...", { isCalm: true });
    try {
      const { blob, name } = await make();
      await this.add(kind, blob, name);
    } catch (error) {
      this.tell(error.message);
    }
  }

  /** Says something above the question; null says nothing. */
  tell(words, { isCalm = false } = {}) {
    const notice = byId("notice");
    notice.hidden = words === null;
    notice.classList.toggle("calm", isCalm);
    notice.textContent = words ?? "";
  }

  send() {
    if (this.answering) return;
    const question = byId("question");
    const words = question.value.trim();
    if (!words) {
      this.tell("Write a question first.", { isCalm: true });
      question.focus();
      return;
    }
    if (this.lacksMedium()) {
      const kinds = this.needed.map((kind) => KINDS[kind].noun);
      const any = new Intl.ListFormat("en-GB", { type: "disjunction" }).format(kinds);
      this.tell(`This model only answers about ${any}. Attach one first.`, { isCalm: true });
      return;
    }
    this.tell(null);
    const turn = { model: byId("model").value, words, media: this.tray.take(), answer: "" };
    question.value = "";
    this.conversation.turns.push(turn);
    this.answer(turn, showTurn(turn));
  }

  /** Whether the service would refuse the question: no medium goes with it or was asked about. */
  lacksMedium() {
    const told = this.conversation.turns.filter((turn) => turn.answer);
    const media = [...this.tray.media, ...told.flatMap((turn) => turn.media)];
    return this.needed.length > 0 && media.length === 0;
  }

  async answer(turn, view) {
    this.answering = new AbortController();
    this.showAnswering(true);
    announce("Waiting for the answer");
    const { conversation } = this;
    const start = performance.now();
    const counted = { usage: null, firstMs: null, totalMs: 0 };
    let remark = null;
    try {
      const messages = await conversation.messagesFor(turn);
      const request = { model: turn.model, messages };
      for await (const piece of streamAnswer(request, this.answering.signal)) {
        if (piece.text) {
          counted.firstMs ??= performance.now() - start;
          turn.answer += piece.text;
          view.append(piece.text);
          announceGrowing(piece.text);
        }
        if (piece.refusal) view.remark(piece.refusal);
        if (piece.reason && piece.reason !== "stop") remark = piece.reason;
        if (piece.usage) counted.usage = piece.usage;
      }
      remark ??= turn.answer ? null : "nothing";
    } catch (error) {
      if (error.name !== "AbortError") return this.fail(turn, view, error);
      remark = "stopped";
    } finally {
      this.answering = null;
      this.showAnswering(false);
    }
    announceEnd();
    counted.totalMs = performance.now() - start;
    return view.finish(counted, remark);
  }

  /** A turn that failed is no longer sent, until the user tries it again. */
  fail(turn, view, error) {
    turn.answer = "";
    view.fail(error, () => {
      if (this.answering) return;
      view.restart();
      byId("question").focus();
      this.answer(turn, view);
    });
    if (error.status === 401) this.askForKey();
  }

  showAnswering(isAnswering) {
    const hadFocus = [byId("send"), byId("stop")].includes(document.activeElement);
    byId("send").hidden = isAnswering;
    byId("stop").hidden = !isAnswering;
    if (hadFocus) (isAnswering ? byId("stop") : byId("question")).focus();
  }

  /** Forgets the conversation and its media. */
  startOver() {
    this.answering?.abort();
    for (const turn of this.conversation.turns) turn.media.forEach(forget);
    this.conversation = new Conversation();
    clearThread();
    announce("New conversation");
    byId("question").focus();
  }
}
