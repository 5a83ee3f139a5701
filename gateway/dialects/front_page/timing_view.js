/** Where the time went: the gateway by its own word, the way there and back, and this page's share. */

import { element } from "./elements.js";

/* The gateway's words, in the order in which they happen. */
const STAGES = [
  ["images", "read images"],
  ["tokenize", "cut texts into tokens"],
  ["queue", "wait for the model's turn"],
  ["infer", "compute the vectors"],
];

const KINDS = [
  ["gateway", "gateway"],
  ["way", "way there and back"],
  ["page", "this page"],
];

/** `timings` is a list of `{name, timing}`, a request each; `drawing` the milliseconds that the page took then. */
export function timingView(timings, drawing) {
  const columns = timings.map(({ name, timing }) => ({ name, parts: partsOf(timing) }));
  columns.at(-1).parts.push({ label: "compare and draw", kind: "page", milliseconds: drawing });
  const parts = columns.flatMap((column) => column.parts);
  const own = parts.filter(({ kind }) => kind === "gateway");
  const longest = Math.max(...columns.map((column) => sumOf(column.parts)));
  return [
    element(
      "p",
      { class: "lead" },
      `${inMilliseconds(sumOf(parts))} in all, ${inMilliseconds(sumOf(own))} of them in the gateway.`,
    ),
    ...columns.map((column) => barOf(column.parts, longest)),
    element("p", { class: "legend" }, ...KINDS.map(([kind, label]) => key(kind, label))),
    element(
      "div",
      { class: "scroll", role: "region", tabindex: "0", "aria-label": "Table of times" },
      tableOf(columns),
    ),
  ];
}

/** A request's stages, one after the other, none below zero. */
export function partsOf({ waiting, receiving, parsing, stages, processing }) {
  const own = STAGES.filter(([name]) => name in stages).map(([name, label]) => ({
    label,
    kind: "gateway",
    milliseconds: stages[name],
  }));
  const known = own.reduce((sum, part) => sum + part.milliseconds, 0);
  if (processing !== null) {
    const label = own.length ? "read, check and write" : "the gateway's own time";
    own.push({ label, kind: "gateway", milliseconds: Math.max(0, processing - known) });
  }
  const spent = Math.max(processing ?? 0, known);
  return [
    ...own,
    { label: "way there and back", kind: "way", milliseconds: Math.max(0, waiting - spent) },
    { label: "receive the answer", kind: "way", milliseconds: receiving },
    { label: "read it", kind: "page", milliseconds: parsing },
  ];
}

export function inMilliseconds(value) {
  if (value < 0.05) return "0 ms";
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

function sumOf(parts) {
  return parts.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
}

/** As long as its part of the longest one. */
function barOf(parts, longest) {
  const pieces = parts.map(({ kind, milliseconds }) => {
    const piece = element("span", { class: kind });
    piece.style.width = `${longest > 0 ? (100 * milliseconds) / longest : 0}%`;
    return piece;
  });
  return element("div", { class: "timeline", "aria-hidden": "true" }, ...pieces);
}

function key(kind, label) {
  return element("span", { class: "key" }, element("span", { class: `chip ${kind}`, "aria-hidden": "true" }), label);
}

/** A row a stage, a column a request; requests differ in their stages only where the gateway leaves one out. */
function tableOf(columns) {
  const labels = [...new Set(columns.flatMap(({ parts }) => parts.map(({ label }) => label)))];
  const names = columns.length > 1 ? columns.map(({ name }) => name) : ["Time"];
  const rows = labels.map((label) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, label),
      ...columns.map(({ parts }) => element("td", { class: "number" }, timeIn(parts, label))),
    ),
  );
  return element(
    "table",
    { class: "plain timings" },
    element("caption", { class: "unseen" }, "Time by stage"),
    element(
      "thead",
      {},
      element(
        "tr",
        {},
        element("th", { scope: "col" }, "Stage"),
        ...names.map((name) => element("th", { scope: "col", class: "number" }, name)),
      ),
    ),
    element("tbody", {}, ...rows),
  );
}

function timeIn(parts, label) {
  const found = parts.find((part) => part.label === label);
  return found ? inMilliseconds(found.milliseconds) : "";
}
