/**
 * Vectors as points on a plane, by principal component analysis: the two directions along which they differ most.
 *
 * Of n vectors the n by n table of their dot products is enough (the coordinates are its eigenvectors times the roots
 * of its eigenvalues), so a few texts cost little however many dimensions there are.
 */

import { dot } from "./similarity.js";

const MAX_SWEEPS = 60;
const SMALL = 1e-12;

/**
 * `points`: for each vector its coordinates, `size` of them; `shares`: which part of the vectors' variance each axis
 * holds. An axis points to the side of the vector that lies farthest out on it, so that equal vectors give equal maps.
 */
export function project(vectors, size = 2) {
  const { values, columns } = eigen(products(centred(vectors)));
  const total = values.reduce((sum, value) => sum + Math.max(0, value), 0);
  const noise = SMALL * Math.max(1, total);
  const axes = Array.from({ length: size }, (_, axis) =>
    coordinates(values[axis] ?? 0, columns[axis], vectors.length, noise),
  );
  return {
    points: vectors.map((_, index) => axes.map((axis) => axis[index])),
    shares: axes.map((_, axis) => (total > noise ? Math.max(0, values[axis] ?? 0) / total : 0)),
  };
}

function coordinates(value, column, count, noise) {
  if (!(value > noise)) return new Array(count).fill(0);
  const farthest = column.reduce((best, one) => (Math.abs(one) > Math.abs(best) + SMALL ? one : best), 0);
  const scale = Math.sqrt(value) * (farthest < 0 ? -1 : 1);
  return column.map((one) => one * scale);
}

function centred(vectors) {
  const dimensions = vectors.length ? vectors[0].length : 0;
  const middle = Array.from(
    { length: dimensions },
    (_, place) => vectors.reduce((sum, vector) => sum + vector[place], 0) / vectors.length,
  );
  return vectors.map((vector) => vector.map((value, place) => value - middle[place]));
}

function products(vectors) {
  const rows = vectors.map(() => new Array(vectors.length));
  vectors.forEach((vector, row) => {
    for (let column = 0; column <= row; column += 1)
      rows[row][column] = rows[column][row] = dot(vector, vectors[column]);
  });
  return rows;
}

/** Eigenvalues of a symmetric matrix, the largest first, and their unit eigenvectors: Jacobi's method, in sweeps. */
function eigen(matrix) {
  const size = matrix.length;
  const rows = matrix.map((row) => [...row]);
  const turned = rows.map((_, index) => rows.map((__, place) => (index === place ? 1 : 0)));
  for (let sweep = 0; sweep < MAX_SWEEPS && !isDiagonal(rows); sweep += 1) {
    for (let one = 0; one < size; one += 1) {
      for (let other = one + 1; other < size; other += 1) rotate(rows, turned, one, other);
    }
  }
  const order = rows.map((_, index) => index).sort((one, other) => rows[other][other] - rows[one][one]);
  return {
    values: order.map((index) => rows[index][index]),
    columns: order.map((index) => turned.map((row) => row[index])),
  };
}

function isDiagonal(rows) {
  let beside = 0;
  let all = 0;
  rows.forEach((row, index) =>
    row.forEach((value, place) => {
      all += value * value;
      if (index !== place) beside += value * value;
    }),
  );
  return beside <= 1e-28 * all;
}

/** Turns the plane of two axes so that the matrix is 0 where they meet. */
function rotate(rows, turned, one, other) {
  if (rows[one][other] === 0) return;
  const slope = (rows[other][other] - rows[one][one]) / (2 * rows[one][other]);
  const tangent = (slope < 0 ? -1 : 1) / (Math.abs(slope) + Math.hypot(slope, 1));
  const cosine = 1 / Math.hypot(tangent, 1);
  const sine = tangent * cosine;
  for (const row of [...rows, ...turned]) {
    const before = row[one];
    row[one] = cosine * before - sine * row[other];
    row[other] = sine * before + cosine * row[other];
  }
  const [first, second] = [rows[one], rows[other]];
  for (let place = 0; place < rows.length; place += 1) {
    const before = first[place];
    first[place] = cosine * before - sine * second[place];
    second[place] = sine * before + cosine * second[place];
  }
}
