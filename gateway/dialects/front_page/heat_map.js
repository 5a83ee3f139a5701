/** Every text against every other as a table of numbers, coloured by size. */

import { clipped, element, quoted } from "./elements.js";
import { pairs } from "./similarity.js";

export const LEVELS = 12;
const NAMED_PAIRS = 3;

/** Elements to show `similarities`, rows of numbers from -1 to 1, of `texts` with one another. */
export function heatMap(texts, similarities) {
  const ranked = pairs(similarities);
  const cells = similarities.map((row) => row.map((value) => element("td", {}, number(value))));
  const legend = legendOf((range) => paint(cells, similarities, range), spread(ranked));
  const reading = element("p", { class: "reading" });
  const table = tableOf(texts, cells);
  followPointer(table, cells, (row, column) => reading.replaceChildren(...sentence(texts, similarities, row, column)));
  reading.append("Point at a number to read its two texts.");
  return [
    element("p", { class: "lead" }, `The ${NAMED_PAIRS < ranked.length ? `${NAMED_PAIRS} closest pairs` : "pairs"}:`),
    closestPairs(texts, ranked),
    legend,
    element("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Table of similarities" }, table),
    reading,
  ];
}

/** Two decimals, with the minus sign that is as wide as a digit. */
export function number(value) {
  return value
    .toFixed(2)
    .replace(/^-(?=0\.00$)/u, "")
    .replace("-", "−");
}

/** Which of the colours a value has between `low` and `high`: 0 to LEVELS - 1. */
export function level(value, { low, high }) {
  const share = high > low ? (value - low) / (high - low) : 1;
  return Math.round(Math.max(0, Math.min(1, share)) * (LEVELS - 1));
}

function spread(ranked) {
  const [high, low] = [ranked[0].similarity, ranked.at(-1).similarity];
  return high > low ? { low, high } : { low: 0, high: 1 };
}

function closestPairs(texts, ranked) {
  const items = ranked
    .slice(0, NAMED_PAIRS)
    .map(({ one, other, similarity }) =>
      element(
        "li",
        {},
        element("b", { class: "figure" }, number(similarity)),
        " ",
        quoted(texts[one], 110),
        element("span", { class: "dim" }, " and "),
        quoted(texts[other], 110),
      ),
    );
  return element("ol", { class: "pairs" }, ...items);
}

function tableOf(texts, cells) {
  const numbers = texts.map((text, index) =>
    element("th", { scope: "col", title: clipped(text, 200) }, String(index + 1)),
  );
  const rows = cells.map((row, index) =>
    element(
      "tr",
      {},
      element("th", { scope: "row", title: clipped(texts[index], 200) }, rowName(texts[index], index)),
      ...row,
    ),
  );
  return element(
    "table",
    { class: "heat" },
    element("caption", { class: "unseen" }, "Similarity of each text with each other, from −1 to 1"),
    element("thead", {}, element("tr", {}, element("td"), ...numbers)),
    element("tbody", {}, ...rows),
  );
}

function rowName(text, index) {
  return element("span", { class: "row-name" }, element("span", { class: "place" }, `${index + 1} `), quoted(text, 80));
}

function legendOf(painted, own) {
  const low = element("span", { class: "figure" });
  const high = element("span", { class: "figure" });
  const box = element("input", { type: "checkbox", id: "fixed-colours" });
  const apply = () => {
    const range = box.checked ? { low: 0, high: 1 } : own;
    low.textContent = number(range.low);
    high.textContent = number(range.high);
    painted(range);
  };
  box.addEventListener("change", apply);
  apply();
  const steps = Array.from({ length: LEVELS }, (_, step) => element("span", { class: `step heat-${step}` }));
  return element(
    "div",
    { class: "legend" },
    low,
    element("span", { class: "ramp", "aria-hidden": "true" }, ...steps),
    high,
    element("label", { class: "check" }, box, " Colours from 0 to 1"),
  );
}

function paint(cells, similarities, range) {
  cells.forEach((row, one) =>
    row.forEach((cell, other) => {
      cell.className = one === other ? `heat-${LEVELS - 1} self` : `heat-${level(similarities[one][other], range)}`;
    }),
  );
}

function followPointer(table, cells, read) {
  const places = new Map(cells.flatMap((row, one) => row.map((cell, other) => [cell, [one, other]])));
  table.addEventListener("pointerover", ({ target }) => {
    const place = places.get(target);
    if (place) read(...place);
  });
}

function sentence(texts, similarities, one, other) {
  const value = element("b", { class: "figure" }, number(similarities[one][other]));
  if (one === other) return [value, " ", quoted(texts[one], 160), " and itself"];
  return [value, " ", quoted(texts[one], 160), element("span", { class: "dim" }, " and "), quoted(texts[other], 160)];
}
