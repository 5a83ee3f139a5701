/**
 * A request as text that does the same when it is pasted: for a shell, for Python and for JavaScript.
 *
 * A request is `{base, path, body, hasKey}`: the gateway's address with a slash at its end, the path without one at its
 * beginning, the JSON body. A key is never written; its place is taken by the environment variable API_KEY.
 */

const JSON_WORDS = { true: "true", false: "false", null: "null" };
const PYTHON_WORDS = { true: "True", false: "False", null: "None" };

/* What does not print or changes how its neighbours are shown, and so could hide what a pasted line does. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;

/* What the official client of Python takes by name; anything else has to go into its `extra_body`. */
const CLIENT_FIELDS = ["model", "input", "dimensions"];

export function asCurl(request) {
  const lines = [`curl ${shellWord(address(request))}`, `-H ${shellWord("Content-Type: application/json")}`];
  if (request.hasKey) lines.push('-H "Authorization: Bearer $API_KEY"');
  lines.push(`-d ${shellWord(json(request.body, 0))}`);
  return lines.join(" \\\n  ");
}

export function asPython(request) {
  return isPlainEmbedding(request) ? withOpenAI(request) : withHttpx(request);
}

export function asJavaScript(request) {
  const headers = ['"Content-Type": "application/json"'];
  if (request.hasKey) headers.push("Authorization: `Bearer ${process.env.API_KEY}`");
  return [
    `const answer = await fetch(${jsonString(address(request))}, {`,
    '  method: "POST",',
    `  headers: { ${headers.join(", ")} },`,
    `  body: JSON.stringify(${json(request.body, 1)}),`,
    "});",
    "if (!answer.ok) throw new Error(await answer.text());",
    `const { ${isRanking(request) ? "results" : "data"} } = await answer.json();`,
  ].join("\n");
}

/** A word of a POSIX shell that stands for exactly this text. */
export function shellWord(text) {
  return /^[\w./:@%+-]+$/u.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function isRanking(request) {
  return "documents" in request.body;
}

/** Whether the official client reads the answer: it knows no vectors of tokens, and no ranking. */
function isPlainEmbedding(request) {
  return !isRanking(request) && !request.body.return_multivector;
}

function address(request) {
  return request.base + request.path;
}

function withOpenAI(request) {
  const base = request.base + request.path.slice(0, request.path.lastIndexOf("/"));
  const given = Object.entries(request.body);
  const named = given.filter(([name]) => CLIENT_FIELDS.includes(name));
  const extra = Object.fromEntries(given.filter(([name]) => !CLIENT_FIELDS.includes(name)));
  if (Object.keys(extra).length) named.push(["extra_body", extra]);
  return [
    ...(request.hasKey ? ["import os", ""] : []),
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${pythonString(base)}, api_key=${request.hasKey ? 'os.environ["API_KEY"]' : '"unused"'})`,
    "answer = client.embeddings.create(",
    ...named.map(([name, value]) => `    ${name}=${python(value, 1)},`),
    ")",
    "vectors = [row.embedding for row in answer.data]",
  ].join("\n");
}

function withHttpx(request) {
  return [
    ...(request.hasKey ? ["import os", ""] : []),
    "import httpx",
    "",
    "answer = httpx.post(",
    `    ${pythonString(address(request))},`,
    ...(request.hasKey ? ['    headers={"Authorization": f"Bearer {os.environ[\'API_KEY\']}"},'] : []),
    `    json=${python(request.body, 1)},`,
    "    timeout=60,",
    ")",
    "answer.raise_for_status()",
    isRanking(request) ? 'results = answer.json()["results"]' : 'data = answer.json()["data"]',
  ].join("\n");
}

function json(value, depth) {
  return literal(value, depth, { indent: "  ", words: JSON_WORDS, string: jsonString, end: "" });
}

function python(value, depth) {
  return literal(value, depth, { indent: "    ", words: PYTHON_WORDS, string: pythonString, end: "," });
}

/** A value over several lines, where it is a list or an object; `end` stands behind the last entry of one. */
function literal(value, depth, style) {
  if (typeof value === "string") return style.string(value);
  if (typeof value === "number") return String(value);
  if (value === null || typeof value !== "object") return style.words[String(value)];
  const isList = Array.isArray(value);
  const entries = isList
    ? value.map((one) => literal(one, depth + 1, style))
    : Object.entries(value).map(([name, one]) => `${style.string(name)}: ${literal(one, depth + 1, style)}`);
  const [opening, closing] = isList ? "[]" : "{}";
  if (!entries.length) return opening + closing;
  const inside = style.indent.repeat(depth + 1);
  return `${opening}\n${inside}${entries.join(`,\n${inside}`)}${style.end}\n${style.indent.repeat(depth)}${closing}`;
}

/** JSON, which is JavaScript too, with everything written out that would not be seen. */
function jsonString(text) {
  return JSON.stringify(text).replace(UNPRINTABLE, (found) => found.split("").map(fourDigits).join(""));
}

/** Of Python; all escapes of JSON mean the same there, but a character beyond four digits has an escape of its own. */
function pythonString(text) {
  return JSON.stringify(text).replace(UNPRINTABLE, (found) =>
    found.length === 1 ? fourDigits(found) : `\\U${found.codePointAt(0).toString(16).padStart(8, "0")}`,
  );
}

function fourDigits(unit) {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
