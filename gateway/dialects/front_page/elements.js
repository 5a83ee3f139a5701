/** Builds elements. A string can only ever become text: nothing here reads markup. */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element of nodes and strings; attributes that are null or false are left out, true ones are empty. */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same for SVG. */
export function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** A span that holds somebody's text, whichever way it is written, cut to `limit` UTF-16 units. */
export function quoted(text, limit = 300, name = "span") {
  return element(name, { dir: "auto", class: "quoted" }, clipped(text, limit));
}

/** The beginning of a text, on one line, with an ellipsis where something is left out; no character is cut in two. */
export function clipped(text, limit) {
  const line = text
    .slice(0, 4 * limit)
    .replace(/\s+/gu, " ")
    .trim();
  if (line.length <= limit && text.length <= 4 * limit) return line;
  return `${line
    .slice(0, limit)
    .replace(/[\ud800-\udbff]$/u, "")
    .trimEnd()}…`;
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}
