// The line under an answer: tokens by modality, and how long it took.
import { element } from "./element.js";

const WORDS = { text: "text", image: "image", video: "clip", audio: "sound", imu: "motion" };

/** `usage` as the service counted, or null; times in milliseconds, `firstMs` null for no word. */
export function figures({ usage, firstMs, totalMs }) {
  const details = Object.entries(usage?.prompt_tokens_details ?? {});
  const counts = details
    .filter(([name, count]) => count > 0 && name.endsWith("_tokens") && name !== "cached_tokens")
    .map(([name, count]) => [name.slice(0, -"_tokens".length), count]);
  const shown = counts.map(([kind, count]) => part(`${WORDS[kind] ?? kind} ${count}`, kind));
  const cached = usage?.prompt_tokens_details?.cached_tokens;
  if (cached) shown.push(part(`${cached} of these cached`));
  if (usage) shown.unshift(part("Tokens:"));
  if (usage) shown.push(part(`answer ${usage.completion_tokens}`, "answer"));
  if (firstMs !== null) shown.push(part(`first word after ${seconds(firstMs)}`));
  shown.push(part(`${seconds(totalMs)} in all`));
  return element("p", { className: "figures" }, ...shown);
}

function part(words, kind) {
  return element("span", kind ? { dataset: { kind } } : {}, words);
}

function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
