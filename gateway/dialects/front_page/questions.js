/** What is asked of the gateway for what the form says. Pure: the form in, request bodies out. */

import { Trouble } from "./errors.js";
import { documentParts, MOST_TEXTS, separateTexts } from "./texts.js";

export const EMBEDDINGS = "v1/embeddings";
export const RERANK = "v1/rerank";

/**
 * `form`: `{view, model, typed, paragraphs, query, task, dimensions, tokens}`, `model` one of `models.js`. The answer:
 * `{view, texts, query, requests}`, a request being `{name, path, body}`; the last one is the one to show. Throws a
 * `Trouble` where the form does not say enough.
 */
export function questionOf(form) {
  const view = form.model.isReranker ? "ranking" : form.view;
  const texts = view === "chunks" ? documentParts(form.typed) : separateTexts(form.typed, form);
  checkCount(texts, view);
  if (view === "compare") return compared(form, texts);
  const query = form.query.trim();
  if (!query) throw new Trouble("Type a question first: the texts are measured against it.");
  return view === "ranking" ? ranked(form, texts, query) : chunked(form, texts, query);
}

function checkCount(texts, view) {
  const least = view === "ranking" ? 1 : 2;
  const what = view === "chunks" ? "parts" : "texts";
  if (texts.length === 0) throw new Trouble("There is no text yet. Type some, or take an example.");
  if (texts.length < least) throw new Trouble(`One is not enough to compare. Give two ${what} or more, one a line.`);
  if (texts.length > MOST_TEXTS) {
    throw new Trouble(
      `These are ${texts.length} ${what}, and this page shows up to ${MOST_TEXTS}. The API itself takes thousands.`,
    );
  }
}

function compared(form, texts) {
  const body = { model: form.model.id };
  if (form.task) body.task = form.task;
  if (form.tokens) body.return_multivector = true;
  else if (form.dimensions) body.dimensions = form.dimensions;
  body.input = texts;
  return { view: "compare", texts, query: "", requests: [{ name: "Texts", path: EMBEDDINGS, body }] };
}

/** The question as one, the parts as documents; the gateway knows which of the model's tasks these are. */
function chunked(form, parts, query) {
  const body = (input_type, input, more = {}) => {
    const size = form.dimensions ? { dimensions: form.dimensions } : {};
    return { path: EMBEDDINGS, body: { model: form.model.id, input_type, ...size, ...more, input } };
  };
  const requests = [
    { name: "Question", ...body("query", [query]) },
    { name: "Parts by themselves", ...body("document", parts) },
    { name: "Parts in context", ...body("document", parts, { late_chunking: true }) },
  ];
  return { view: "chunks", texts: parts, query, requests };
}

function ranked(form, documents, query) {
  const body = { model: form.model.id, query, return_documents: false, documents };
  return { view: "ranking", texts: documents, query, requests: [{ name: "Ranking", path: RERANK, body }] };
}
