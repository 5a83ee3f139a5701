/** The request that gave what is shown, to be copied: one tab a language. */

import { element } from "./elements.js";
import { asCurl, asJavaScript, asPython } from "./request_text.js";

const LANGUAGES = [
  { id: "curl", name: "curl", text: asCurl },
  { id: "python", name: "Python", text: asPython },
  { id: "javascript", name: "JavaScript", text: asJavaScript },
];
const KEY_NOTE = "Your key is not written out: put it into the environment variable API_KEY.";
const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

/** Elements to show `request`, as `request_text.js` has it; `tell` says aloud whether copying worked. */
export function requestView(request, tell) {
  const code = element("code");
  const panel = element("pre", { role: "tabpanel", id: "request-panel", tabindex: "0" }, code);
  const tabs = LANGUAGES.map(({ id, name }) =>
    element("button", { type: "button", role: "tab", id: `request-${id}`, "aria-controls": "request-panel" }, name),
  );
  const choose = (chosen) => {
    tabs.forEach((tab, index) => {
      tab.setAttribute("aria-selected", String(index === chosen));
      tab.setAttribute("tabindex", index === chosen ? "0" : "-1");
    });
    panel.setAttribute("aria-labelledby", tabs[chosen].id);
    code.textContent = LANGUAGES[chosen].text(request);
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(index));
    tab.addEventListener("keydown", (event) => stepFrom(event, tabs, index, choose));
  });
  choose(0);
  const copy = element("button", { type: "button", class: "quiet" }, "Copy");
  copy.addEventListener("click", () => copied(code, tell));
  return [
    element("div", { class: "tabs" }, element("div", { role: "tablist", "aria-label": "Language" }, ...tabs), copy),
    panel,
    request.hasKey ? element("p", { class: "dim" }, KEY_NOTE) : null,
  ].filter((part) => part !== null);
}

function stepFrom(event, tabs, index, choose) {
  const ends = { Home: 0, End: tabs.length - 1 };
  const next = ends[event.key] ?? (event.key in STEPS ? (index + STEPS[event.key] + tabs.length) % tabs.length : null);
  if (next === null) return;
  event.preventDefault();
  choose(next);
  tabs[next].focus();
}

/** Where the browser lets no page copy (plain http from afar), the text is selected instead. */
async function copied(code, tell) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    tell("Copied.");
  } catch {
    getSelection().selectAllChildren(code);
    tell("This browser lets the page copy nothing. The text is selected: copy it with Ctrl+C.");
  }
}
