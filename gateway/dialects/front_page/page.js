/** The page's own course: models are asked for, a question is asked, its answer is shown or its failure told. */

import { rankingIn, tokensIn, tokenVectorsIn, vectorsIn } from "./answers.js";
import { chunksView } from "./chunks_view.js";
import { Controls } from "./controls.js";
import { element } from "./elements.js";
import { KEY_WANTED, Trouble } from "./errors.js";
import { pictureOf } from "./example_pictures.js";
import { EXAMPLES, RANKING_EXAMPLE } from "./examples.js";
import { ask, base } from "./gateway.js";
import { heatMap, number } from "./heat_map.js";
import { mapView } from "./map_view.js";
import { count, modelsIn } from "./models.js";
import { questionOf } from "./questions.js";
import { rankingView } from "./ranking_view.js";
import { requestView } from "./request_view.js";
import { cosines, lateInteractions, mean, pairs } from "./similarity.js";
import { inMilliseconds, timingView } from "./timing_view.js";

const PANELS = ["heat", "map", "chunks", "ranking", "timing", "request"];
const controls = new Controls();
const place = (id) => document.getElementById(id);
let running = null;

start();

async function start() {
  controls.parts.form.addEventListener("submit", (event) => {
    event.preventDefault();
    void run();
  });
  controls.parts.stop.addEventListener("click", () => running?.abort());
  controls.parts.key.addEventListener("change", () => void loadModels());
  controls.parts.texts.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) controls.parts.form.requestSubmit();
  });
  offerExamples();
  controls.fit({ isOtherModel: true });
  await guarded(async () => {
    const { content } = await ask("");
    introduce(content);
    if (content.api_key_required === true && !controls.key) {
      controls.showKeyField();
      tell(KEY_WANTED);
    } else await loadModels();
  });
}

function introduce({ version, links }) {
  place("version").textContent = typeof version === "string" ? `Version ${version}.` : "";
  for (const name of ["docs", "reference"]) place(`link-${name}`).hidden = typeof links?.[name] !== "string";
}

async function loadModels() {
  await guarded(async () => {
    const { content } = await ask("v1/models", { key: controls.key });
    const models = modelsIn(content);
    controls.offer(models);
    offerExamples();
    if (!models.length) tell("The gateway serves no model yet. GET /health says why.");
    else if (running === null && place("shown").hidden) tell("");
  });
}

async function run() {
  running?.abort();
  const own = new AbortController();
  running = own;
  controls.busy(true);
  fail("");
  tell("Asking …");
  place("shown").setAttribute("aria-busy", "true");
  await guarded(async () => {
    if (!controls.hasModels) await loadModelsFor(own.signal);
    const question = questionOf(controls.form());
    const key = controls.key;
    const answers = [];
    for (const request of question.requests) {
      answers.push({ ...request, ...(await ask(request.path, { body: request.body, key, signal: own.signal })) });
    }
    if (running === own) show(question, answers, key !== "");
  });
  if (running !== own) return;
  running = null;
  controls.busy(false);
  place("shown").removeAttribute("aria-busy");
  bringIntoView();
}

/** On a small screen what came of it stands below the form. */
function bringIntoView() {
  const results = place("results");
  if (results.getBoundingClientRect().top > 0.8 * innerHeight) results.scrollIntoView({ block: "start" });
}

async function loadModelsFor(signal) {
  const { content } = await ask("v1/models", { key: controls.key, signal });
  controls.offer(modelsIn(content));
  if (!controls.model) throw new Trouble("The gateway serves no model yet. GET /health says why.");
}

/** Does `work`; of what goes wrong, people are told. */
async function guarded(work) {
  try {
    await work();
    return;
  } catch (error) {
    if (error.name === "AbortError") {
      if (running?.signal.aborted) tell("Stopped.");
      return;
    }
    if (!(error instanceof Trouble)) console.error(error);
    tell("");
    fail(error instanceof Trouble ? error.message : "This page has a defect: it could not show the answer.");
    if (error.kind === "key") {
      controls.showKeyField();
      controls.parts.key.focus();
    }
  }
}

function show(question, answers, hasKey) {
  const started = performance.now();
  const { panels, news } = VIEWS[question.view](question, answers);
  const drawing = performance.now() - started;
  const asked = answers.at(-1);
  panels.timing = timingView(answers, drawing);
  panels.request = requestView({ base: base(), path: asked.path, body: asked.body, hasKey }, tell);
  for (const name of PANELS) {
    place(`panel-${name}`).hidden = !(name in panels);
    place(`${name}-body`).replaceChildren(...(panels[name] ?? []));
  }
  place("start").classList.add("compact");
  place("shown").hidden = false;
  warn(answers);
  tell([...news, timeOf(answers, drawing)].join(" "));
}

const VIEWS = {
  compare({ texts, requests: [{ body }] }, [{ content }]) {
    const tokens = body.return_multivector ? tokenVectorsIn(content, texts.length) : null;
    const vectors = tokens ? tokens.map(mean) : vectorsIn(content, texts.length);
    const similarities = tokens ? lateInteractions(tokens) : cosines(vectors);
    const [closest] = pairs(similarities);
    return {
      panels: {
        heat: heatMap(texts, similarities),
        map: mapView(texts, vectors, similarities, place("status").clientWidth - 48),
      },
      news: [
        `${texts.length} texts, ${describedVectors(tokens, vectors)}${described(tokensIn(content))}.`,
        `Closest are ${closest.one + 1} and ${closest.other + 1}, with ${number(closest.similarity)}.`,
      ],
    };
  },
  chunks({ texts, query }, [asked, alone, inContext]) {
    const [question] = vectorsIn(asked.content, 1);
    const vectors = {
      question,
      alone: vectorsIn(alone.content, texts.length),
      inContext: vectorsIn(inContext.content, texts.length),
    };
    return {
      panels: { chunks: chunksView(texts, query, vectors) },
      news: [`${texts.length} parts, each by itself and in context.`],
    };
  },
  ranking({ texts, query }, [{ content }]) {
    const ranking = rankingIn(content, texts.length);
    return {
      panels: { ranking: rankingView(texts, query, ranking) },
      news: [
        `${texts.length} texts ranked. Number ${ranking[0].index + 1} is best, with ${ranking[0].score.toFixed(3)}.`,
      ],
    };
  },
};

function describedVectors(tokens, vectors) {
  if (tokens) return `${count(tokens.flat().length)} vectors of ${count(vectors[0].length)} numbers`;
  return `${count(vectors[0].length)} dimensions`;
}

function described(tokens) {
  return tokens === null ? "" : `, ${count(tokens)} tokens`;
}

function timeOf(answers, drawing) {
  const spent = answers.reduce((sum, { timing }) => sum + timing.waiting + timing.receiving + timing.parsing, drawing);
  return `${inMilliseconds(spent)}.`;
}

function warn(answers) {
  const warnings = [...new Set(answers.map(({ warnings: said }) => said).filter((said) => said))];
  place("warning").textContent = warnings.join(" ");
  place("warning").hidden = !warnings.length;
}

function tell(text) {
  place("status").textContent = text;
}

function fail(text) {
  place("error").textContent = text && !place("shown").hidden ? `${text} What is shown below is from before.` : text;
  place("error").hidden = !text;
}

function offerExamples() {
  const examples = controls.hasReranker ? [...EXAMPLES, { ...RANKING_EXAMPLE, ranking: true }] : EXAMPLES;
  place("examples").replaceChildren(
    ...examples.map((example) => {
      const words = [element("b", {}, example.title), element("span", {}, example.hint)];
      const button = element("button", { type: "button", class: "card" }, pictureOf(example.picture), ...words);
      button.addEventListener("click", () => take(example));
      return element("li", {}, button);
    }),
  );
}

function take(example) {
  if (controls.take(example)) controls.parts.form.requestSubmit();
  else fail("None of the models that are served can do this.");
}
