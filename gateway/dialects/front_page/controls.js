/** The form: what it offers for the chosen model, and what it says. */

import { element } from "./elements.js";
import { factsOf } from "./models.js";
import { documentParts, separateTexts } from "./texts.js";

// prettier-ignore
const IDS = [
  "form", "views", "view-compare", "view-chunks", "view-note", "query-field", "query", "texts-label", "texts",
  "texts-count", "paragraphs-field", "paragraphs", "model", "model-facts", "task-field", "task", "dimensions-field",
  "dimensions", "dimensions-note", "sizes", "tokens-field", "tokens", "key-details", "key", "run", "stop",
];

const NO_CHUNKS = "Late chunking needs a model whose vectors are means; this one's are not.";

export class Controls {
  #models = [];

  constructor() {
    this.parts = Object.fromEntries(IDS.map((id) => [id, document.getElementById(id)]));
    for (const id of ["view-compare", "view-chunks", "tokens"])
      this.parts[id].addEventListener("change", () => this.fit());
    this.parts.model.addEventListener("change", () => this.fit({ isOtherModel: true }));
    for (const id of ["texts", "paragraphs"]) this.parts[id].addEventListener("input", () => this.#count());
  }

  get key() {
    return this.parts.key.value.trim();
  }

  get model() {
    return this.#models.find(({ id }) => id === this.parts.model.value) ?? null;
  }

  /** What is measured against the texts is asked for where a question is needed. */
  get view() {
    return this.parts["view-chunks"].checked ? "chunks" : "compare";
  }

  get hasModels() {
    return this.#models.length > 0;
  }

  /** What `questions.js` takes; the model is one of those offered. */
  form() {
    const { texts, paragraphs, query, task, dimensions, tokens } = this.parts;
    return {
      view: this.view,
      model: this.model,
      typed: texts.value,
      paragraphs: paragraphs.checked,
      query: query.value,
      task: task.value,
      dimensions: dimensions.value === "" ? null : Number(dimensions.value),
      tokens: tokens.checked && this.model.hasTokenVectors,
    };
  }

  /** Offers `models`; what was chosen before stays chosen where it is still there. */
  offer(models) {
    const { model } = this.parts;
    const chosen = model.value;
    this.#models = models;
    const groups = [
      ["Embeddings", models.filter((one) => !one.isReranker)],
      ["Rerankers", models.filter((one) => one.isReranker)],
    ];
    model.replaceChildren(
      ...groups
        .filter(([, members]) => members.length)
        .map(([label, members]) =>
          element("optgroup", { label }, ...members.map(({ id }) => element("option", { value: id }, id))),
        ),
    );
    if (models.some(({ id }) => id === chosen)) model.value = chosen;
    model.disabled = !models.length;
    this.fit({ isOtherModel: model.value !== chosen });
  }

  /** Puts an example into the form, with a model that can do what it shows; false where none can. */
  take({ view, query = "", texts, ranking = false }) {
    const can = (model) => (ranking ? model.isReranker : !model.isReranker && (view !== "chunks" || model.chunksLate));
    if (this.hasModels && !(this.model && can(this.model))) {
      const other = this.#models.find(can);
      if (!other) return false;
      this.parts.model.value = other.id;
      this.fit({ isOtherModel: true });
    }
    this.parts[view === "chunks" ? "view-chunks" : "view-compare"].checked = true;
    this.parts.query.value = query;
    this.parts.paragraphs.checked = false;
    this.parts.texts.value = texts.join("\n");
    this.fit();
    return true;
  }

  get hasReranker() {
    return this.#models.some(({ isReranker }) => isReranker);
  }

  showKeyField() {
    this.parts["key-details"].open = true;
  }

  /** The button to ask stays as it is, so that it keeps the keyboard's focus: asking again gives up what runs. */
  busy(isBusy) {
    const { run, stop } = this.parts;
    if (!isBusy && document.activeElement === stop) run.focus();
    stop.hidden = !isBusy;
  }

  /** Shows what the model and the view have use for, and nothing else. */
  fit({ isOtherModel = false } = {}) {
    const { parts, model } = this;
    const isReranker = model?.isReranker ?? false;
    const mayChunk = model?.chunksLate ?? true;
    parts.views.hidden = isReranker;
    parts["view-chunks"].disabled = !mayChunk;
    if (!mayChunk && parts["view-chunks"].checked) parts["view-compare"].checked = true;
    parts["view-note"].textContent = mayChunk || isReranker ? "" : NO_CHUNKS;
    const isChunks = !isReranker && this.view === "chunks";
    parts["query-field"].hidden = !isReranker && !isChunks;
    parts["paragraphs-field"].hidden = isChunks;
    parts["texts-label"].textContent = isChunks ? "Document, a part a line" : isReranker ? "Texts to rank" : "Texts";
    parts.run.textContent = isReranker ? "Rank" : "Embed";
    parts["model-facts"].textContent = model ? factsOf(model) : "";
    parts["task-field"].hidden = isReranker || isChunks || !model?.tasks.length;
    parts["tokens-field"].hidden = isReranker || isChunks || !model?.hasTokenVectors;
    const tokensWanted = !parts["tokens-field"].hidden && parts.tokens.checked;
    parts["dimensions-field"].hidden = isReranker || tokensWanted || !model?.dimensions;
    if (isOtherModel) this.#offerTasksAndSizes(model);
    this.#count();
  }

  #offerTasksAndSizes(model) {
    const { task, dimensions, sizes, tokens } = this.parts;
    const own = model?.defaultTask ? `the model's own: ${model.defaultTask}` : "none named";
    task.replaceChildren(
      element("option", { value: "" }, own),
      ...(model?.tasks ?? []).map((name) => element("option", { value: name }, name)),
    );
    tokens.checked = false;
    dimensions.value = "";
    dimensions.max = String(model?.dimensions ?? "");
    dimensions.placeholder = String(model?.dimensions ?? "");
    sizes.replaceChildren(...(model?.sizes ?? []).map((size) => element("option", { value: String(size) })));
    this.parts["dimensions-note"].textContent = model?.sizes.length
      ? `Trained for ${model.sizes.join(", ")}.`
      : "Left empty: all. Not trained to be cut.";
  }

  #count() {
    const { texts, paragraphs } = this.parts;
    const isChunks = this.view === "chunks" && !(this.model?.isReranker ?? false);
    const found = isChunks
      ? documentParts(texts.value)
      : separateTexts(texts.value, { paragraphs: paragraphs.checked });
    const word = isChunks ? "part" : "text";
    this.parts["texts-count"].textContent = `${found.length} ${word}${found.length === 1 ? "" : "s"}`;
  }
}
