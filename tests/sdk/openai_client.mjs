// The official OpenAI package against a gate, as a customer would use it.

import assert from "node:assert/strict";

import OpenAI, { APIError, AuthenticationError, BadRequestError, PermissionDeniedError, RateLimitError } from "openai";

import { ASK, GATE, KEYS, WEATHER, all, asked, breaks, events, first, raises, run, same, upstream, watched } from "./common.mjs";

const TOOL = { type: "function", function: { name: "weather", parameters: WEATHER } };
const FLAT_TOOL = { type: "function", name: "weather", parameters: WEATHER, strict: true };
const FORMAT = { type: "json_schema", json_schema: { name: "weather", schema: WEATHER, strict: true } };
const FLAT_FORMAT = { type: "json_schema", name: "weather", schema: WEATHER, strict: true };
const OSLO = { city: "Oslo", degrees: -3 };

const client = (account = "acme", path = "/v1") => new OpenAI({ baseURL: GATE + path, apiKey: KEYS[account] });

const chat = (answer, { then, of = client(), ...more } = {}) =>
  of.chat.completions.create({ model: "small", messages: ASK, ...more }, upstream(answer, then));

// What of a stream is for a client that did not ask for usage.
const withoutUsage = (answer) =>
  events(answer).filter((event) => event.choices.length > 0).map(({ usage, ...event }) => event);

// Everything that an exception says of a refusal.
function told(error, status, type, code) {
  same([error.status, error.type, error.code], [status, type, code]);
  same(error.requestID, error.headers.get("x-request-id"));
  assert(error.message.includes(error.error.message));
  return { id: error.requestID };
}

await run({
  async chat_plain() {
    const [answer, id] = await asked(chat("openai/chat.json"));
    same([answer.choices[0].message.content, answer.usage.total_tokens], ["Hello there.", 22]);
    same(answer._request_id, id.id);
    return id;
  },
  async chat_streamed() {
    const [stream, id] = await asked(chat("openai/chat.sse", { stream: true }));
    same(await all(stream), withoutUsage("openai/chat.sse"));
    return id;
  },
  async chat_streamed_with_usage() {
    const options = { stream: true, stream_options: { include_usage: true } };
    const [stream, id] = await asked(chat("openai/chat.sse", options));
    same(await all(stream), events("openai/chat.sse"));
    return id;
  },
  async chat_streamed_with_cost() {
    const of = client().withOptions({ defaultHeaders: { "x-usage-cost": "true" } });
    const options = { of, stream: true, stream_options: { include_usage: true } };
    const [stream, id] = await asked(chat("openai/chat.sse", options));
    const expected = events("openai/chat.sse");
    expected.at(-1).usage.cost = "0.000059";
    same(await all(stream), expected);
    return id;
  },
  async chat_tools() {
    const [answer, id] = await asked(chat("openai/chat_tools.json", { tools: [TOOL], tool_choice: "required" }));
    const call = answer.choices[0].message.tool_calls[0].function;
    same([answer.choices[0].finish_reason, call.name, call.arguments], ["tool_calls", "weather", '{"city":"Oslo"}']);
    return id;
  },
  async chat_tools_streamed() {
    const ask = { model: "small", messages: ASK, tools: [TOOL] };
    const [answer, id] = await watched(client(), (of) =>
      of.chat.completions.stream(ask, upstream("openai/chat_tools.sse")).finalChatCompletion(),
    );
    same(answer.choices[0].message.tool_calls[0].function.arguments, '{"city":"Oslo"}');
    same(answer.usage, undefined);
    return id;
  },
  async chat_parsed() {
    const ask = { model: "small", messages: ASK, response_format: FORMAT };
    const answer = await client().chat.completions.parse(ask, upstream("openai/chat_parsed.json"));
    same(answer.choices[0].message.parsed, OSLO);
    return { id: answer._request_id };
  },
  async chat_parsed_streamed() {
    const ask = { model: "small", messages: ASK, response_format: FORMAT };
    const [answer, id] = await watched(client(), (of) =>
      of.chat.completions.stream(ask, upstream("openai/chat_parsed.sse")).finalChatCompletion(),
    );
    same(JSON.parse(answer.choices[0].message.content), OSLO);
    return id;
  },
  async completions() {
    const ask = { model: "small", prompt: "Hi" };
    const [answer, id] = await asked(client().completions.create(ask, upstream("openai/completions.json")));
    same(answer.choices[0].text, "Hello there.");
    return id;
  },
  async completions_streamed() {
    const ask = { model: "small", prompt: "Hi", stream: true };
    const [stream, id] = await asked(client().completions.create(ask, upstream("openai/completions.sse")));
    same(await all(stream), withoutUsage("openai/completions.sse"));
    return id;
  },
  async embeddings() {
    // The SDK asks for base64 by itself, and decodes it.
    const ask = { model: "embed", input: ["one", "two"] };
    const [answer, id] = await asked(client().embeddings.create(ask, upstream("openai/embeddings.json")));
    same(answer.data.map((item) => item.embedding), [[0.5, -0.25, 2], [1, 0, -1.5]]);
    return id;
  },
  async responses() {
    const ask = { model: "small", input: "Hi" };
    const [answer, id] = await asked(client().responses.create(ask, upstream("openai/responses.json")));
    same([answer.status, answer.output_text], ["completed", "Hello there."]);
    return id;
  },
  async responses_streamed() {
    const ask = { model: "small", input: ASK, stream: true };
    const [stream, id] = await asked(client().responses.create(ask, upstream("openai/responses.sse")));
    same(await all(stream), events("openai/responses.sse"));
    return id;
  },
  async responses_stream_helper() {
    const [answer, id] = await watched(client(), (of) =>
      of.responses.stream({ model: "small", input: ASK }, upstream("openai/responses.sse")).finalResponse(),
    );
    same(answer.output_text, "Hello there. Æøå");
    return id;
  },
  async responses_tools() {
    const ask = { model: "small", input: "Hi", tools: [FLAT_TOOL] };
    const [answer, id] = await asked(client().responses.create(ask, upstream("openai/responses_tools.json")));
    same(answer.output[0].arguments, '{"city":"Oslo"}');
    return id;
  },
  async responses_parsed() {
    const ask = { model: "small", input: "Hi", text: { format: FLAT_FORMAT } };
    const answer = await client().responses.parse(ask, upstream("openai/responses_parsed.json"));
    same(answer.output_parsed, OSLO);
    return { id: answer._request_id };
  },
  async models() {
    const listed = await all(client().models.list(upstream("openai/models.json")));
    same(listed.map((model) => model.id), ["small", "embed"]);
  },
  async unknown_key() {
    const stranger = new OpenAI({ baseURL: `${GATE}/v1`, apiKey: `fg_live_${"0".repeat(32)}` });
    const error = await raises(AuthenticationError, chat("openai/chat.json", { of: stranger }));
    return told(error, 401, "invalid_request_error", "invalid_api_key");
  },
  async no_credits() {
    const error = await raises(APIError, chat("openai/chat.json", { of: client("poor") }));
    const body = error.error;
    same([body.available, body.required, body.top_up_url], ["0.000000", body.shortfall, "https://example.com/buy"]);
    return told(error, 402, "insufficient_quota", "insufficient_credits");
  },
  async no_credits_streamed() {
    const error = await raises(APIError, chat("openai/chat.sse", { of: client("poor"), stream: true }));
    return told(error, 402, "insufficient_quota", "insufficient_credits");
  },
  async paused() {
    const error = await raises(PermissionDeniedError, chat("openai/chat.json", { of: client("paused") }));
    same(error.error.reasons, ["manual"]);
    return told(error, 403, "permission_error", "account_paused");
  },
  async unpriced_model() {
    const error = await raises(BadRequestError, client().chat.completions.create({ model: "unheard-of", messages: ASK }));
    same(error.error.model, "unheard-of");
    return told(error, 400, "invalid_request_error", "model_not_priced");
  },
  async rate_limited() {
    const impatient = client("limited").withOptions({ maxRetries: 0 });
    for (let served = 0; served < 100; served++) {
      const error = await chat("openai/chat.json", { of: impatient }).then(() => null, (error) => error);
      if (error === null) continue;
      same(error.constructor, RateLimitError);
      const wait = Number(error.headers.get("retry-after"));
      assert(wait >= 1 && wait <= 60, `Retry-After: ${wait}`);
      return { ...told(error, 429, "rate_limit_error", "rate_limited"), served };
    }
    assert.fail("not limited");
  },
  async waits_out_the_limit() {
    // Refused with `x-should-retry: true` and `Retry-After`, the SDK comes again by itself.
    return (await asked(chat("openai/chat.json", { of: client("limited") })))[1];
  },
  async disconnect() {
    const options = { then: "stall", stream: true, max_completion_tokens: 100 };
    const [stream, id] = await asked(chat("openai/chat_begun.sse", options));
    const expected = withoutUsage("openai/chat_begun.sse");
    same(await first(expected.length, stream), expected);
    return { ...id, written: "Hello you".length };
  },
  async broken_stream() {
    const options = { then: "break", stream: true, max_completion_tokens: 100 };
    const [stream, id] = await asked(chat("openai/chat_begun.sse", options));
    await breaks(stream, withoutUsage("openai/chat_begun.sse"));
    return { ...id, written: "Hello you".length };
  },
  async responses_disconnect() {
    const ask = { model: "small", input: "Hi", stream: true, max_output_tokens: 100 };
    const [stream, id] = await asked(client().responses.create(ask, upstream("openai/responses_begun.sse", "stall")));
    const expected = events("openai/responses_begun.sse");
    same(await first(expected.length, stream), expected);
    return { ...id, written: "Hello you".length };
  },
  async cut_at_zero() {
    const poorer = client("short", "/growing/v1");
    const options = { then: "repeat", of: poorer, stream: true, max_completion_tokens: 900 };
    const [stream, id] = await asked(chat("openai/chat_endless.sse", options));
    const begun = await all(stream);
    const last = begun.pop();
    const written = begun.map((event) => event.choices[0].delta.content).join("").length;
    same([last.id, last.choices[0].finish_reason, last.choices[0].delta], ["chatcmpl-B2", "length", {}]);
    const { code, top_up_url, charged } = last.faregate;
    same([code, top_up_url], ["insufficient_credits", "https://example.com/buy"]);
    return { ...id, written, charged };
  },
  async stream_helper_cut_at_zero() {
    const ask = { model: "small", messages: ASK, max_completion_tokens: 900 };
    const [answer, id] = await watched(client("short-helped", "/growing/v1"), (of) =>
      of.chat.completions.stream(ask, upstream("openai/chat_endless.sse", "repeat")).finalChatCompletion(),
    );
    same(answer.choices[0].finish_reason, "length");
    return { ...id, written: answer.choices[0].message.content.length };
  },
  async responses_cut_at_zero() {
    const ask = { model: "small", input: "Hi", stream: true, max_output_tokens: 900 };
    const cut = client("short-too", "/growing/v1").responses.create(ask, upstream("openai/responses_endless.sse", "repeat"));
    const [stream, id] = await asked(cut);
    const begun = await all(stream);
    const { type, response, faregate } = begun.pop();
    const written = begun.filter((event) => event.type === "response.output_text.delta").length;
    same([type, response.status, response.incomplete_details.reason], ["response.incomplete", "incomplete", "max_output_tokens"]);
    same([faregate.code, response.usage.output_tokens], ["insufficient_credits", written]);
    return { ...id, written, charged: faregate.charged };
  },
});
