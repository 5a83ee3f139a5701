/** Vectors as points on a plane, with a list that says the same in words. */

import { clipped, drawn, element, quoted } from "./elements.js";
import { number } from "./heat_map.js";
import { project } from "./projection.js";
import { nearest } from "./similarity.js";

const WIDTHS = { least: 300, most: 720 };
const SHAPE = 0.62;
const MARGIN = 40;
const RADIUS = 11;
/* Long labels where there is room, short ones else. */
const LABEL_LETTERS = [34, 14];
const LETTER_WIDTH = 6.6;
const LABEL_HEIGHT = 15;
const JOINED = "A line joins each text to the one nearest to it in all dimensions.";

/** Elements to show `vectors`, one for each of `texts`; `similarities` say which are nearest to one another. `room` is
 * how many pixels the map may take in width, so that its letters keep their size. */
export function mapView(texts, vectors, similarities, room) {
  const { points, shares } = project(vectors);
  const width = Math.round(Math.max(WIDTHS.least, Math.min(WIDTHS.most, room)));
  const frame = { width, height: Math.round(SHAPE * width) };
  const neighbours = texts.map((_, index) => nearest(similarities, index));
  const places = placesOf(points, frame);
  const groups = places.map((place, index) => pointOf(place, index));
  const image = drawn(
    "svg",
    {
      viewBox: `0 0 ${frame.width} ${frame.height}`,
      class: "map",
      role: "img",
      "aria-label": `Map of the ${texts.length} vectors`,
    },
    drawn("rect", { class: "ground", x: 0.5, y: 0.5, width: frame.width - 1, height: frame.height - 1, rx: 8 }),
    ...linesOf(places, neighbours),
    ...labelsOf(texts, places, frame),
    ...groups,
  );
  return [
    element(
      "p",
      { class: "lead" },
      `These two directions hold ${percent(shares)} of how the vectors differ. ${JOINED}`,
    ),
    image,
    listOf(texts, points, neighbours, groups),
  ];
}

function percent([first, second]) {
  return `${Math.round(100 * (first + second))} % (${Math.round(100 * first)} and ${Math.round(100 * second)})`;
}

/** One scale for both axes, so that distances mean the same in all directions; centred. */
function placesOf(points, { width, height }) {
  const [columns, rows] = [0, 1].map((axis) => points.map((point) => point[axis]));
  const [left, right] = [Math.min(...columns), Math.max(...columns)];
  const [bottom, top] = [Math.min(...rows), Math.max(...rows)];
  const fitting = [(width - 2 * MARGIN) / (right - left), (height - 2 * MARGIN) / (top - bottom)].filter(
    Number.isFinite,
  );
  const scale = fitting.length ? Math.min(...fitting) : 0;
  return points.map(([x, y]) => ({
    x: width / 2 + (x - (left + right) / 2) * scale,
    y: height / 2 - (y - (bottom + top) / 2) * scale,
  }));
}

function pointOf({ x, y }, index) {
  return drawn(
    "g",
    { class: "point" },
    drawn("circle", { cx: x, cy: y, r: RADIUS }),
    drawn("text", { x, y: y + 4, "text-anchor": "middle" }, String(index + 1)),
  );
}

function linesOf(places, neighbours) {
  return neighbours.flatMap((found, index) => {
    const isDrawnAlready = found === null || (neighbours[found.index]?.index === index && found.index < index);
    if (isDrawnAlready) return [];
    const [from, to] = [places[index], places[found.index]];
    return [drawn("line", { class: "near", x1: from.x, y1: from.y, x2: to.x, y2: to.y })];
  });
}

/** A label for each point beside which there is room for one. */
function labelsOf(texts, places, frame) {
  const taken = places.map(({ x, y }) => box(x - RADIUS, y - RADIUS, 2 * RADIUS, 2 * RADIUS));
  const isFree = ({ area }) => inside(area, frame) && !taken.some((other) => meet(area, other));
  return places.flatMap((place, index) => {
    const spot = LABEL_LETTERS.flatMap((letters) => spotsFor(place, clipped(texts[index], letters))).find(isFree);
    if (!spot) return [];
    taken.push(spot.area);
    return [drawn("text", { class: "name", x: spot.x, y: spot.y, "text-anchor": spot.anchor }, spot.label)];
  });
}

function spotsFor({ x, y }, label) {
  const width = label.length * LETTER_WIDTH;
  const [aside, up] = [RADIUS + 5, LABEL_HEIGHT / 2];
  return [
    { x: x + aside, y: y + 4, anchor: "start", area: box(x + aside, y - up, width, LABEL_HEIGHT) },
    { x: x - aside, y: y + 4, anchor: "end", area: box(x - aside - width, y - up, width, LABEL_HEIGHT) },
    { x, y: y - aside, anchor: "middle", area: box(x - width / 2, y - aside - 12, width, LABEL_HEIGHT) },
    { x, y: y + aside + 11, anchor: "middle", area: box(x - width / 2, y + aside, width, LABEL_HEIGHT) },
  ].map((spot) => ({ ...spot, label }));
}

function box(left, top, width, height) {
  return { left, top, right: left + width, bottom: top + height };
}

function inside({ left, top, right, bottom }, { width, height }) {
  return left >= 6 && top >= 6 && right <= width - 6 && bottom <= height - 6;
}

function meet(one, other) {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}

function listOf(texts, points, neighbours, groups) {
  const items = texts.map((text, index) => {
    const item = element(
      "li",
      {},
      quoted(text, 140),
      element("span", { class: "dim" }, where(points[index], neighbours[index])),
    );
    item.addEventListener("pointerenter", () => groups[index].classList.add("lit"));
    item.addEventListener("pointerleave", () => groups[index].classList.remove("lit"));
    return item;
  });
  return element("ol", { class: "places", "aria-label": "The map in words" }, ...items);
}

function where([x, y], neighbour) {
  const near = neighbour === null ? "" : `; nearest is ${neighbour.index + 1}, ${number(neighbour.similarity)}`;
  return ` at ${number(x)}, ${number(y)}${near}`;
}
