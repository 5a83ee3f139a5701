/** From what stands in the box to a list of texts. */

/** More would make tables that nobody reads; the API itself takes thousands. */
export const MOST_TEXTS = 60;

/** One text a line, or one a paragraph where paragraphs are wanted; empty ones do not count. */
export function separateTexts(typed, { paragraphs }) {
  const lines = typed.replace(/\r\n?/gu, "\n");
  return trimmed(lines.split(paragraphs ? /\n[^\S\n]*(?:\n[^\S\n]*)+/u : "\n"));
}

/** The parts of one document: its lines, or the sentences of a document that has one line. */
export function documentParts(typed) {
  const lines = separateTexts(typed, { paragraphs: false });
  return lines.length === 1 ? sentences(lines[0]) : lines;
}

function sentences(text) {
  if (typeof Intl.Segmenter !== "function") return trimmed(text.split(/(?<=[.!?。！？])\s+/u));
  const segments = new Intl.Segmenter(undefined, { granularity: "sentence" }).segment(text);
  return trimmed(Array.from(segments, ({ segment }) => segment));
}

function trimmed(texts) {
  return texts.map((text) => text.trim()).filter((text) => text !== "");
}
