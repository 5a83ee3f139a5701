// Asks the official client what standard input says, and prints what the client made of each answer.
import OpenAI from "openai";

let given = "";
for await (const part of process.stdin) given += part;
const { url, key, retries, calls } = JSON.parse(given);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: retries });

async function ask({ models, ...fields }) {
  if (models) {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    return { ids, found: (await client.models.retrieve(models)).id };
  }
  const answer = await client.embeddings.create(fields);
  return { vectors: answer.data.map((row) => row.embedding), usage: answer.usage, model: answer.model };
}

const answers = [];
for (const call of calls) {
  try {
    answers.push(await ask(call));
  } catch (error) {
    if (!(error instanceof OpenAI.APIError)) throw error;
    const { status, code, param, requestID, message } = error;
    answers.push({ error: error.constructor.name, status, code, param, requestID, message });
  }
}
console.log(JSON.stringify(answers));
