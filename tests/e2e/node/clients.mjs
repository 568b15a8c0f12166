// node clients.mjs PORT MODEL… : asks each model in each format, whole and streamed, with the official SDKs and their
// own helpers, and prints what came of it as JSON: {model: {format: {…}}}.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const [port, ...models] = process.argv.slice(2);
const host = `http://127.0.0.1:${port}`;
const options = { apiKey: "the client's own", maxRetries: 0 };
const openai = new OpenAI({ ...options, baseURL: `${host}/v1` });
const anthropic = new Anthropic({ ...options, baseURL: host });

const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const said = [{ role: "user", content: "Say hello." }];

async function chat(model) {
  const messages = said;
  const tool = { type: "function", function: { name: "weather", parameters, strict: true } };
  const { data, response } = await openai.chat.completions.create({ model, messages }).withResponse();
  const stream = openai.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
  const final = await stream.finalChatCompletion();
  const calling = openai.chat.completions.stream({ model, messages, tools: [tool] });
  const calls = (await calling.finalChatCompletion()).choices[0].message.tool_calls;
  return {
    text: data.choices[0].message.content,
    model: response.headers.get("x-sidecar-model"),
    tokens: data.usage.total_tokens,
    streamed: final.choices[0].message.content,
    finish: final.choices[0].finish_reason,
    streamedTokens: final.usage.total_tokens,
    calls: calls.map((call) => [call.id, call.function.name, JSON.parse(call.function.arguments)]),
    ...(await failing((model) => openai.chat.completions.create({ model, messages }), model)),
    broken: await breaking(async (model) => {
      for await (const _ of await openai.chat.completions.create({ model, messages, stream: true }));
    }, model),
  };
}

async function responses(model) {
  const input = "Say hello.";
  const tool = { type: "function", name: "weather", parameters, strict: true };
  const { data, response } = await openai.responses.create({ model, input }).withResponse();
  const final = await openai.responses.stream({ model, input }).finalResponse();
  const calls = (await openai.responses.stream({ model, input, tools: [tool] }).finalResponse()).output;
  return {
    text: data.output_text,
    model: response.headers.get("x-sidecar-model"),
    tokens: data.usage.total_tokens,
    streamed: final.output_text,
    finish: final.status,
    streamedTokens: final.usage.total_tokens,
    calls: calls
      .filter((item) => item.type === "function_call")
      .map((call) => [call.call_id, call.name, JSON.parse(call.arguments)]),
    ...(await failing((model) => openai.responses.create({ model, input }), model)),
    broken: await breaking(async (model) => {
      for await (const _ of await openai.responses.create({ model, input, stream: true }));
    }, model),
  };
}

async function messages(model) {
  const asked = { messages: said, max_tokens: 1000 };
  const tool = { name: "weather", input_schema: parameters };
  const { data, response } = await anthropic.messages.create({ model, ...asked }).withResponse();
  const final = await anthropic.messages.stream({ model, ...asked }).finalMessage();
  const calls = (await anthropic.messages.stream({ model, ...asked, tools: [tool] }).finalMessage()).content;
  return {
    text: data.content[0].text,
    model: response.headers.get("x-sidecar-model"),
    tokens: data.usage.input_tokens + data.usage.cache_read_input_tokens + data.usage.output_tokens,
    streamed: final.content[0].text,
    finish: final.stop_reason,
    streamedTokens: final.usage.input_tokens + final.usage.cache_read_input_tokens + final.usage.output_tokens,
    calls: calls.filter((block) => block.type === "tool_use").map((call) => [call.id, call.name, call.input]),
    ...(await failing((model) => anthropic.messages.create({ model, ...asked }), model)),
    broken: await breaking((model) => anthropic.messages.stream({ model, ...asked }).finalMessage(), model),
  };
}

// The double fails by the model's name: …/busy is a 429, …/broken a stream that is cut.
async function failing(ask, model) {
  try {
    await ask(model.replace(/\/.*/, "/busy"));
  } catch (error) {
    return { error: error.constructor.name, status: error.status };
  }
  return { error: null };
}

async function breaking(ask, model) {
  try {
    await ask(model.replace(/\/.*/, "/broken"));
  } catch (error) {
    return true;
  }
  return false;
}

const found = {};
for (const model of models) {
  found[model] = { chat: await chat(model), responses: await responses(model), messages: await messages(model) };
}
console.log(JSON.stringify(found));
