// The REST API, as this page uses it: which models there are, and answers as they grow.
import { events } from "./event_stream.js";

const KEY_STORED_AS = "anymal-key";

/** What went wrong, in words for people. */
export class ServiceError extends Error {
  constructor({ status = 0, message, code = null, requestId = null }) {
    super(message);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }
}

let key = null;

/** The API key of this tab; null for none. */
export function apiKey() {
  return key ?? sessionStorage.getItem(KEY_STORED_AS);
}

export function setApiKey(value) {
  key = value;
  sessionStorage.setItem(KEY_STORED_AS, value);
}

/** The served models: `[{id, modalities, needs_media}, ...]`. */
export async function listModels() {
  const response = await call("/v1/models", { cache: "no-store" });
  return (await response.json()).data;
}

/**
 * Asks, and yields what comes: `{text}`, `{refusal}`, `{reason}` and `{usage}`.
 * Aborting the signal ends the work at the service too.
 */
export async function* streamAnswer({ model, messages }, signal) {
  const stream = { stream: true, stream_options: { include_usage: true } };
  const body = { model, messages, stop_repetition: true, ...stream };
  const response = await call("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  const requestId = response.headers.get("x-request-id");
  try {
    let isWhole = false;
    for await (const { event, data } of events(response.body)) {
      isWhole = data === "[DONE]";
      if (isWhole) continue; // to the end of the body: leaving earlier would abort the request
      const chunk = JSON.parse(data);
      if (event === "error") throw new ServiceError({ ...chunk.error, requestId });
      yield* pieces(chunk);
    }
    if (isWhole) return;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // what a lost connection is to a reader
  }
  const message = "The answer broke off. Is the service still running?";
  throw new ServiceError({ message, requestId });
}

function* pieces(chunk) {
  for (const { delta, finish_reason: reason } of chunk.choices) {
    if (delta.content) yield { text: delta.content };
    if (delta.refusal) yield { refusal: delta.refusal };
    if (reason) yield { reason };
  }
  if (chunk.usage) yield { usage: chunk.usage };
}

async function call(path, options) {
  const headers = { ...options.headers };
  if (apiKey()) headers.authorization = `Bearer ${apiKey()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError({ message: "The service does not answer. Is it still running?" });
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response) {
  const { status } = response;
  const requestId = response.headers.get("x-request-id");
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  const told = isJson ? (await response.json()).error : null;
  const message = told?.message ?? `The service answered with status ${status}.`;
  return new ServiceError({ status, message, code: told?.code, requestId });
}
