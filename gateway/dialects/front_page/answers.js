/** What is wanted of an answer, checked: numbers where numbers are drawn. */

import { Trouble } from "./errors.js";

/** One vector for each of `count` texts, in their order. */
export function vectorsIn(content, count) {
  const vectors = itemsIn(content?.data, count).map((item) => item.embedding);
  check(areVectors(vectors));
  return vectors;
}

/** For each of `count` texts a vector for each of its tokens. */
export function tokenVectorsIn(content, count) {
  const texts = itemsIn(content?.data, count).map((item) => item.embeddings);
  check(texts.every((vectors) => Array.isArray(vectors) && vectors.length > 0) && areVectors(texts.flat()));
  return texts;
}

/** The places of `count` documents, the best first, each with its score from 0 to 1. */
export function rankingIn(content, count) {
  const rows = itemsIn(content?.results, count).map((row) => ({ index: row.index, score: row.relevance_score }));
  check(
    rows.every(({ index, score }) => Number.isInteger(index) && index >= 0 && index < count && Number.isFinite(score)),
  );
  check(new Set(rows.map(({ index }) => index)).size === count);
  return rows.sort((one, other) => other.score - one.score);
}

export function tokensIn(content) {
  const tokens = content?.usage?.total_tokens;
  return Number.isFinite(tokens) ? tokens : null;
}

function itemsIn(list, count) {
  check(
    Array.isArray(list) && list.length === count && list.every((item) => item !== null && typeof item === "object"),
  );
  return list;
}

function areVectors(vectors) {
  const size = vectors[0]?.length;
  return (
    size > 0 &&
    vectors.every((one) => Array.isArray(one) && one.length === size && one.every((value) => Number.isFinite(value)))
  );
}

function check(holds) {
  if (!holds) throw new Trouble("The answer is not what was asked for. Reload this page: the gateway may be newer.");
}
