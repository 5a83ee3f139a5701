/** A small drawing for each example: what its result looks like, roughly. For the eye alone. */

import { drawn } from "./elements.js";

const [WIDTH, HEIGHT] = [120, 56];

const PICTURES = {
  groups: () =>
    grid(9, (row, column) => {
      if (row === column) return 11;
      return Math.floor(row / 3) === Math.floor(column / 3) ? 7 + ((row + column) % 2) : (row * 5 + column * 5) % 3;
    }),
  pairs: () =>
    [
      [16, 14, 34, 22],
      [58, 42, 74, 34],
      [88, 12, 104, 20],
      [22, 44, 38, 38],
    ].flatMap(([x1, y1, x2, y2]) => [
      drawn("line", { x1, y1, x2, y2, stroke: "var(--edge)", "stroke-dasharray": "2 2" }),
      dot(x1, y1, "var(--accent)"),
      dot(x2, y2, "var(--accent)"),
    ]),
  shift: () =>
    [
      [70, 74],
      [28, 82],
      [52, 76],
      [14, 66],
    ].flatMap(([from, to], row) => {
      const y = 10 + 12 * row;
      return [
        drawn("rect", { x: 4, y: y - 1, width: 112, height: 2, fill: "var(--line)" }),
        drawn("rect", { x: from, y: y - 1, width: to - from, height: 2, fill: "var(--accent)" }),
        dot(from, y, "var(--sunken)", "var(--accent)"),
        dot(to, y, "var(--accent)"),
      ];
    }),
  ranking: () =>
    [104, 70, 44, 30, 12].map((width, row) =>
      drawn("rect", { x: 4, y: 4 + 10 * row, width, height: 6, rx: 2, fill: `var(--heat-${11 - 2 * row})` }),
    ),
};

export function pictureOf(name) {
  return drawn(
    "svg",
    { class: "picture", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" },
    ...PICTURES[name](),
  );
}

function dot(cx, cy, fill, stroke = "none") {
  return drawn("circle", { cx, cy, r: 3.5, fill, stroke, "stroke-width": 1.5 });
}

function grid(size, level) {
  const side = HEIGHT / size;
  return Array.from({ length: size * size }, (_, place) => {
    const [row, column] = [Math.floor(place / size), place % size];
    const fill = `var(--heat-${level(row, column)})`;
    return drawn("rect", { x: column * side, y: row * side, width: side - 1, height: side - 1, rx: 1, fill });
  });
}
