/** The models that are served, as the page needs to know them. */

const isText = (value) => typeof value === "string" && value !== "";
const isCount = (value) => Number.isInteger(value) && value > 0;

/** From what `/v1/models` answers; entries that make no sense are left out. */
export function modelsIn(content) {
  const entries = Array.isArray(content?.data) ? content.data : [];
  return entries.filter((entry) => isText(entry?.id) && isText(entry.kind)).map(modelOf);
}

function modelOf(entry) {
  return {
    id: entry.id,
    aliasOf: isText(entry.alias_of) ? entry.alias_of : null,
    isReranker: entry.kind === "reranker",
    dimensions: isCount(entry.dimensions) ? entry.dimensions : null,
    sizes: listOf(entry.matryoshka_dimensions, isCount),
    tasks: listOf(entry.tasks, isText),
    defaultTask: isText(entry.default_task) ? entry.default_task : null,
    maxTokens: isCount(entry.max_tokens) ? entry.max_tokens : null,
    chunksLate: entry.late_chunking === true,
    hasTokenVectors: entry.multi_vector === true,
    licence: isText(entry.licence) ? entry.licence : null,
    variant: isText(entry.variant) ? entry.variant : null,
  };
}

function listOf(value, fits) {
  return Array.isArray(value) ? value.filter(fits) : [];
}

/** A line of what somebody choosing a model wants to know. */
export function factsOf(model) {
  return [
    model.aliasOf === null ? null : `another name of ${model.aliasOf}`,
    model.dimensions === null ? null : `${count(model.dimensions)} dimensions`,
    model.maxTokens === null ? null : `texts of up to ${count(model.maxTokens)} tokens`,
    model.variant,
    model.licence,
  ]
    .filter((fact) => fact !== null)
    .join(" · ");
}

export function count(number) {
  return number.toLocaleString("en").replaceAll(",", "\u202f");
}
