/** Documents in the order in which a reranker puts them. */

import { element, quoted } from "./elements.js";

/** Elements to show `ranking`, `{index, score}` with the best first, of `documents` for `query`. */
export function rankingView(documents, query, ranking) {
  const rows = ranking.map(({ index, score }, rank) =>
    element(
      "tr",
      {},
      element("td", { class: "number dim" }, String(rank + 1)),
      element("td", { class: "number" }, score.toFixed(3)),
      element("th", { scope: "row" }, quoted(documents[index], 220, "div"), bar(score)),
      element("td", { class: "number dim" }, String(index + 1)),
    ),
  );
  const heads = [
    ["Rank", "number"],
    ["Score", "number"],
    ["Text", ""],
    ["Given as", "number"],
  ];
  return [
    element(
      "p",
      { class: "lead" },
      "How well each text answers ",
      element("q", {}, quoted(query, 160)),
      ", from 0 to 1.",
    ),
    element(
      "div",
      { class: "scroll", role: "region", tabindex: "0", "aria-label": "Table of the ranking" },
      element(
        "table",
        { class: "plain" },
        element("caption", { class: "unseen" }, "The texts by how well they answer the question"),
        element(
          "thead",
          {},
          element("tr", {}, ...heads.map(([name, kind]) => element("th", { scope: "col", class: kind }, name))),
        ),
        element("tbody", {}, ...rows),
      ),
    ),
  ];
}

function bar(score) {
  const filled = element("span", { class: "filled" });
  filled.style.width = `${100 * Math.max(0, Math.min(1, score))}%`;
  return element("div", { class: "bar", "aria-hidden": "true" }, filled);
}
