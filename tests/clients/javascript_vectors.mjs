// The vectors that each client in JavaScript gets for the texts on standard input, with its defaults.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { OpenAIEmbeddings } from "@langchain/openai";
import { embedMany } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";

let given = "";
for await (const part of process.stdin) given += part;
const { url, model, texts } = JSON.parse(given);
const baseURL = `${url}/v1`;
const apiKey = "unused";

const openai = await new OpenAI({ baseURL, apiKey }).embeddings.create({ model, input: texts });
const langchain = new OpenAIEmbeddings({ model, apiKey, configuration: { baseURL } });
const vercel = createOpenAICompatible({ name: "gateway", baseURL, apiKey });
const ollama = await new Ollama({ host: url }).embed({ model, input: texts });
const vectors = {
  openai: openai.data.map((row) => row.embedding),
  langchain: await langchain.embedDocuments(texts),
  "langchain, one by one": await Promise.all(texts.map((text) => langchain.embedQuery(text))),
  vercel: (await embedMany({ model: vercel.embeddingModel(model), values: texts })).embeddings,
  ollama: ollama.embeddings,
};
console.log(JSON.stringify(vectors));
