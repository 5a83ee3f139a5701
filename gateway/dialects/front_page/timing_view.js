/** Where the time went: the gateway by its own word, the way there and back, and this page's share. */

import { element } from "./elements.js";

/* The gateway's words, in the order in which they happen. */
const STAGES = [
  ["images", "read images"],
  ["tokenize", "cut texts into tokens"],
  ["queue", "wait for the model's turn"],
  ["infer", "compute the vectors"],
];

/** `timings` is a list of `{name, timing}`, a request each; `drawing` the milliseconds that the page took then. */
export function timingView(timings, drawing) {
  const rows = timings.flatMap(({ name, timing }) => partsOf(timing).map((part) => ({ name, ...part })));
  rows.push({ name: "This page", label: "compare and draw", kind: "page", milliseconds: drawing });
  const total = rows.reduce((sum, row) => sum + row.milliseconds, 0);
  return [
    element(
      "p",
      { class: "lead" },
      `${inMilliseconds(total)} in all, ${inMilliseconds(sumOf(rows, "gateway"))} of them in the gateway.`,
    ),
    barOf(rows, total),
    element(
      "p",
      { class: "legend" },
      ...key("gateway", "gateway"),
      ...key("way", "way there and back"),
      ...key("page", "this page"),
    ),
    tableOf(rows, timings.length > 1),
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

function sumOf(rows, kind) {
  return rows.filter((row) => row.kind === kind).reduce((sum, row) => sum + row.milliseconds, 0);
}

function barOf(rows, total) {
  const pieces = rows.map(({ kind, milliseconds }) => {
    const piece = element("span", { class: kind });
    piece.style.flexGrow = String(total > 0 ? milliseconds / total : 0);
    return piece;
  });
  return element("div", { class: "timeline", "aria-hidden": "true" }, ...pieces);
}

function key(kind, label) {
  return [element("span", { class: `chip ${kind}`, "aria-hidden": "true" }), ` ${label} `];
}

function tableOf(rows, severalRequests) {
  const body = rows.map(({ name, label, milliseconds }, index) =>
    element(
      "tr",
      {},
      severalRequests ? element("td", { class: "dim" }, name === rows[index - 1]?.name ? "" : name) : null,
      element("th", { scope: "row" }, label),
      element("td", { class: "number" }, inMilliseconds(milliseconds)),
    ),
  );
  const heads = [...(severalRequests ? ["Request"] : []), "Stage", "Time"].map((name) =>
    element("th", { scope: "col", class: name === "Time" ? "number" : "" }, name),
  );
  return element(
    "table",
    { class: "plain timings" },
    element("caption", { class: "unseen" }, "Time by stage"),
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...body),
  );
}
