/** Talks to the gateway that this page came from, and takes the time. */

import { brokenOff, Trouble, troubleOf, unreachable } from "./errors.js";

const MOST_BYTES = 64 * 1024 * 1024;
const VISIBLE_ASCII = /^[\x21-\x7e]*$/u;

/** The address that everything is relative to, with a slash at its end. */
export function base() {
  return new URL("./", document.baseURI).href;
}

/**
 * What the gateway says to a GET (`body` left out) or a POST of `body` as JSON: `{content, timing, warnings}`.
 *
 * Throws a `Trouble` with a message for people, or the signal's `AbortError`. `timing` is in milliseconds: `waiting` to
 * the answer's headers, `receiving` its body, `parsing` it; `stages` and `processing` are the gateway's own word, where
 * it gives one.
 */
export async function ask(path, { body, key = "", signal } = {}) {
  const started = performance.now();
  const answer = await sent(path, { body, key, signal });
  const answered = performance.now();
  const text = await received(answer, signal);
  const complete = performance.now();
  if (!answer.ok) {
    const retryAfter = answer.headers.get("retry-after");
    throw troubleOf({ status: answer.status, body: text, retryAfter, hadKey: key !== "" });
  }
  const content = parsed(text);
  const { stages, processing } = ownWord(answer.headers);
  return {
    content,
    warnings: answer.headers.get("x-gateway-warning"),
    timing: {
      waiting: answered - started,
      receiving: complete - answered,
      parsing: performance.now() - complete,
      stages,
      processing,
    },
  };
}

async function sent(path, { body, key, signal }) {
  if (!VISIBLE_ASCII.test(key)) {
    throw new Trouble("This cannot be an API key: it holds spaces, or characters that are not ASCII.", "key");
  }
  const headers = { accept: "application/json" };
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const options = { headers, signal, cache: "no-store" };
  if (body !== undefined) Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  try {
    return await fetch(new URL(path, base()), options);
  } catch (error) {
    throw signal?.aborted ? error : unreachable();
  }
}

/** The body as text; read piece by piece, so that one without end is given up. */
async function received(answer, signal) {
  if (answer.body === null) return "";
  const decoder = new TextDecoder();
  const reader = answer.body.getReader();
  let text = "";
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return text + decoder.decode();
      bytes += value.byteLength;
      if (bytes > MOST_BYTES) {
        void reader.cancel();
        throw new Trouble("The answer is larger than 64 MB, too much for this page. Give fewer texts or dimensions.");
      }
      text += decoder.decode(value, { stream: true });
    }
  } catch (error) {
    throw signal?.aborted || error instanceof Trouble ? error : brokenOff();
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Trouble("The answer is no JSON. Something between this page and the gateway may have changed it.");
  }
}

/** `server-timing: tokenize;dur=0.4, infer;dur=3.1, total;dur=4` as numbers by name, and the whole by either header. */
export function ownWord(headers) {
  const stages = {};
  for (const entry of (headers.get("server-timing") ?? "").split(",")) {
    const found = /^\s*([a-z]+)\s*;\s*dur=(\d+(?:\.\d+)?)\s*$/u.exec(entry);
    if (found) stages[found[1]] = Number(found[2]);
  }
  const { total, ...parts } = stages;
  const whole = headers.get("openai-processing-ms");
  return { stages: parts, processing: total ?? (/^\d+$/u.test(whole ?? "") ? Number(whole) : null) };
}
