// What was asked and answered, and how it is sent to the service, which remembers nothing.
import { partOf } from "./media.js";

/**
 * A turn is `{model, words, media, answer}`; one without an answer (it failed, was stopped at once,
 * or the model said nothing) stays in sight but is not sent.
 */
export class Conversation {
  constructor() {
    this.turns = [];
  }

  /** The messages that ask a turn, with everything answered before it. */
  async messagesFor(turn) {
    const before = this.turns.slice(0, this.turns.indexOf(turn)).filter((each) => each.answer);
    const messages = [];
    for (const each of before) {
      messages.push(await question(each), { role: "assistant", content: each.answer });
    }
    messages.push(await question(turn));
    return messages;
  }
}

async function question(turn) {
  const parts = await Promise.all(turn.media.map(partOf));
  return { role: "user", content: [...parts, { type: "text", text: turn.words }] };
}
