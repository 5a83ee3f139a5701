/** What went wrong, in sentences for the person at the page. */

export const KEY_WANTED =
  "This gateway asks for an API key. Type yours into the field “API key”; it stays in this page's memory.";

const LONGEST = 600;

/** Its message is for people. `kind`: `key` (one is missing or wrong), `busy` (trying again helps) or `other`. */
export class Trouble extends Error {
  constructor(message, kind = "other") {
    super(message);
    this.name = "Trouble";
    this.kind = kind;
  }
}

/** Of an answer that is an error. `body` is its text, `retryAfter` its header or null. */
export function troubleOf({ status, body, retryAfter, hadKey }) {
  const said = messageIn(body);
  if (status === 401) {
    const advice = hadKey
      ? "The gateway does not know this API key. Check it for missing characters, or ask the gateway's operator."
      : KEY_WANTED;
    return new Trouble(advice, "key");
  }
  if (status === 429 || status === 503) {
    const word = status === 429 ? "The gateway has more to do than it can take right now." : "The model is not ready.";
    return new Trouble(`${said ?? word} ${tryAgain(retryAfter)}`, "busy");
  }
  if (said !== null) return new Trouble(said);
  return new Trouble(
    `Something on the way answered with status ${status}, not in the gateway's words. Try again, or tell its operator.`,
  );
}

export function unreachable() {
  return new Trouble("The gateway did not answer. Check that it runs, and that this computer reaches it.", "busy");
}

export function brokenOff() {
  return new Trouble("The answer broke off before its end. The gateway may have been stopped; try again.", "busy");
}

function tryAgain(retryAfter) {
  const seconds = /^\d{1,6}$/u.test(retryAfter ?? "") ? Number(retryAfter) : null;
  if (seconds === null) return "Try again in a moment.";
  return seconds <= 1 ? "Try again in a second." : `Try again in ${seconds} seconds.`;
}

function messageIn(body) {
  let content;
  try {
    content = JSON.parse(body);
  } catch {
    return null;
  }
  const found = [content?.error?.message, content?.message, content?.detail, content?.error];
  const message = found.find((one) => typeof one === "string" && one.trim() !== "");
  return message === undefined ? null : shortened(message.trim());
}

function shortened(message) {
  return message.length > LONGEST ? `${message.slice(0, LONGEST)}…` : message;
}
