/** How alike vectors are. A vector is an array of numbers; nothing here touches the page. */

/** The cosine of the angle between two vectors of one size, -1 to 1; 0 where one of them has no length. */
export function cosine(one, other) {
  const lengths = Math.sqrt(dot(one, one) * dot(other, other));
  return lengths > 0 ? Math.max(-1, Math.min(1, dot(one, other) / lengths)) : 0;
}

export function dot(one, other) {
  let sum = 0;
  for (let index = 0; index < one.length; index += 1) sum += one[index] * other[index];
  return sum;
}

/** Every vector with every other: rows of cosines. Symmetric. */
export function cosines(vectors) {
  return squared(vectors.length, (row, column) => cosine(vectors[row], vectors[column]));
}

/**
 * Late interaction, for texts that have a vector for each token: every token of one text looks for the token of the
 * other that is most like it, and the mean of what they find is how alike the texts are ("MaxSim", Khattab and Zaharia
 * 2020, divided by the number of tokens; here the mean of both directions, so that it is symmetric).
 */
export function lateInteractions(texts) {
  return squared(
    texts.length,
    (row, column) => (bestMatches(texts[row], texts[column]) + bestMatches(texts[column], texts[row])) / 2,
  );
}

function bestMatches(tokens, others) {
  if (!tokens.length || !others.length) return 0;
  let sum = 0;
  for (const token of tokens) {
    let best = -1;
    for (const other of others) best = Math.max(best, cosine(token, other));
    sum += best;
  }
  return sum / tokens.length;
}

function squared(size, similarity) {
  const rows = Array.from({ length: size }, () => new Array(size));
  for (let row = 0; row < size; row += 1) {
    for (let column = row; column < size; column += 1) {
      rows[row][column] = rows[column][row] = similarity(row, column);
    }
  }
  return rows;
}

/** Every pair of two different rows, the most alike first; of equals in the order given. */
export function pairs(similarities) {
  return similarities
    .flatMap((row, one) => row.slice(0, one).map((similarity, other) => ({ one: other, other: one, similarity })))
    .sort((first, second) => second.similarity - first.similarity);
}

/** The row most like this one, and how much; null where it is the only one. */
export function nearest(similarities, own) {
  let best = null;
  similarities[own].forEach((similarity, index) => {
    if (index !== own && (best === null || similarity > best.similarity)) best = { index, similarity };
  });
  return best;
}

/** The mean of some vectors of one size. */
export function mean(vectors) {
  return vectors[0].map((_, place) => vectors.reduce((sum, vector) => sum + vector[place], 0) / vectors.length);
}
