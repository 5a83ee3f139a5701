/** What late chunking does: each part's likeness to the question, read by itself and read in context. */

import { element, quoted } from "./elements.js";
import { number } from "./heat_map.js";
import { cosine } from "./similarity.js";

/** Elements to show `parts`; `alone` and `inContext` are their vectors, `question` is the one of `query`. */
export function chunksView(parts, query, { question, alone, inContext }) {
  const rows = parts.map((part, index) => ({
    part,
    before: cosine(question, alone[index]),
    after: cosine(question, inContext[index]),
  }));
  const closer = rows.filter(({ before, after }) => after > before).length;
  return [
    element(
      "p",
      { class: "lead" },
      `In context ${closer} of ${parts.length} parts ${closer === 1 ? "is" : "are"} closer to `,
      element("q", {}, quoted(query, 120)),
      " than read by themselves.",
    ),
    element(
      "p",
      { class: "legend" },
      element("span", { class: "dot before", "aria-hidden": "true" }),
      " by itself ",
      element("span", { class: "dot after", "aria-hidden": "true" }),
      " in context; on a line from 0 to 1",
    ),
    element("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Table of parts" }, tableOf(rows)),
  ];
}

function tableOf(rows) {
  const heads = [
    ["Part", ""],
    ["By itself", "number"],
    ["In context", "number"],
    ["Change", "number"],
  ];
  return element(
    "table",
    { class: "plain chunks" },
    element("caption", { class: "unseen" }, "Likeness of each part to the question, without and with late chunking"),
    element(
      "thead",
      {},
      element("tr", {}, ...heads.map(([name, kind]) => element("th", { scope: "col", class: kind }, name))),
    ),
    element("tbody", {}, ...rows.map(rowOf)),
  );
}

function rowOf({ part, before, after }) {
  const change = after - before;
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, quoted(part, 220, "div"), track(before, after)),
    element("td", { class: "number" }, number(before)),
    element("td", { class: "number" }, number(after)),
    element("td", { class: `number ${change >= 0 ? "up" : "down"}` }, `${change >= 0 ? "+" : ""}${number(change)}`),
  );
}

function track(before, after) {
  const [start, end] = [before, after].map((value) => 100 * Math.max(0, Math.min(1, value)));
  const span = element("span", { class: "span" });
  span.style.left = `${Math.min(start, end)}%`;
  span.style.width = `${Math.abs(end - start)}%`;
  const dots = [
    ["before", start],
    ["after", end],
  ].map(([name, place]) => {
    const dot = element("span", { class: `dot ${name}` });
    dot.style.left = `${place}%`;
    return dot;
  });
  return element("div", { class: "track", "aria-hidden": "true" }, span, ...dots);
}
