// The official Anthropic package against a gate, as a customer would use it.

import assert from "node:assert/strict";

import Anthropic, {
  AuthenticationError,
  BadRequestError,
  PaymentRequiredError,
  PermissionDeniedError,
  RateLimitError,
} from "@anthropic-ai/sdk";

import { ASK, GATE, KEYS, WEATHER, all, asked, breaks, events, first, raises, run, same, upstream, watched } from "./common.mjs";

const TOOL = { name: "weather", input_schema: WEATHER };
const OSLO = { city: "Oslo", degrees: -3 };

const client = (account = "acme", path = "") => new Anthropic({ baseURL: GATE + path, apiKey: KEYS[account] });

const ask = (more) => ({ model: "small", max_tokens: 100, messages: ASK, ...more });

const messages = (answer, { then, of = client(), ...more } = {}) => of.messages.create(ask(more), upstream(answer, then));

// The SDK keeps pings to itself.
const withoutPings = (answer) => events(answer).filter((event) => event.type !== "ping");

// Everything that an exception says of a refusal.
function told(error, status, type, code) {
  same([error.status, error.type, error.errorCode], [status, type, code]);
  same(error.error.error.details.error_code, code);
  same([error.requestID, error.error.request_id], Array(2).fill(error.headers.get("x-request-id")));
  assert(error.message.includes(JSON.stringify(error.apiMessage)));
  return { id: error.requestID };
}

await run({
  async messages() {
    const [answer, id] = await asked(messages("anthropic/messages.json"));
    same([answer.content[0].text, answer.stop_reason, answer.usage.output_tokens], ["Hello there.", "end_turn", 6]);
    same(answer._request_id, id.id);
    return id;
  },
  async messages_streamed() {
    const [stream, id] = await asked(messages("anthropic/messages.sse", { stream: true }));
    same(await all(stream), withoutPings("anthropic/messages.sse"));
    return id;
  },
  async messages_streamed_with_cost() {
    const of = client().withOptions({ defaultHeaders: { "x-usage-cost": "true" } });
    const [stream, id] = await asked(messages("anthropic/messages.sse", { of, stream: true }));
    const expected = withoutPings("anthropic/messages.sse");
    expected.at(-2).usage.cost = "0.000046";
    same(await all(stream), expected);
    return id;
  },
  async messages_stream_helper() {
    const stream = client().messages.stream(ask(), upstream("anthropic/messages.sse"));
    same(await stream.finalText(), "Hello there. Æøå");
    same((await stream.finalMessage()).usage.output_tokens, 8);
    return { id: stream.request_id };
  },
  async tools() {
    const [answer, id] = await asked(messages("anthropic/tools.json", { tools: [TOOL], tool_choice: { type: "any" } }));
    same([answer.stop_reason, answer.content[1].input], ["tool_use", { city: "Oslo" }]);
    return id;
  },
  async tools_streamed() {
    const stream = client().messages.stream(ask({ tools: [TOOL] }), upstream("anthropic/tools.sse"));
    same((await stream.finalMessage()).content[0].input, { city: "Oslo" });
    return { id: stream.request_id };
  },
  async parsed() {
    const format = { type: "json_schema", schema: WEATHER };
    const [answer, id] = await watched(client(), (of) =>
      of.messages.parse(ask({ output_config: { format } }), upstream("anthropic/parsed.json")),
    );
    same(answer.parsed_output, OSLO);
    return id;
  },
  async unknown_key() {
    const stranger = new Anthropic({ baseURL: GATE, apiKey: `fg_live_${"0".repeat(32)}` });
    const error = await raises(AuthenticationError, messages("anthropic/messages.json", { of: stranger }));
    return told(error, 401, "authentication_error", "invalid_api_key");
  },
  async no_credits() {
    const error = await raises(PaymentRequiredError, messages("anthropic/messages.json", { of: client("poor") }));
    const { available, required, shortfall, top_up_url } = error.details;
    same([available, required, top_up_url], ["0.000000", shortfall, "https://example.com/buy"]);
    return told(error, 402, "billing_error", "insufficient_credits");
  },
  async no_credits_streamed() {
    const asking = messages("anthropic/messages.sse", { of: client("poor"), stream: true });
    return told(await raises(PaymentRequiredError, asking), 402, "billing_error", "insufficient_credits");
  },
  async paused() {
    const error = await raises(PermissionDeniedError, messages("anthropic/messages.json", { of: client("paused") }));
    same(error.details.reasons, ["manual"]);
    return told(error, 403, "permission_error", "account_paused");
  },
  async unpriced_model() {
    const error = await raises(BadRequestError, messages("anthropic/messages.json", { model: "unheard-of" }));
    same(error.details.model, "unheard-of");
    return told(error, 400, "invalid_request_error", "model_not_priced");
  },
  async rate_limited() {
    const impatient = client("limited").withOptions({ maxRetries: 0 });
    for (let served = 0; served < 100; served++) {
      const error = await messages("anthropic/messages.json", { of: impatient }).then(() => null, (error) => error);
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
    return (await asked(messages("anthropic/messages.json", { of: client("limited") })))[1];
  },
  async disconnect() {
    const [stream, id] = await asked(messages("anthropic/begun.sse", { then: "stall", stream: true }));
    const expected = events("anthropic/begun.sse");
    same(await first(expected.length, stream), expected);
    return { ...id, written: "Hello you".length };
  },
  async broken_stream() {
    const [stream, id] = await asked(messages("anthropic/begun.sse", { then: "break", stream: true }));
    const expected = events("anthropic/begun.sse");
    await breaks(stream, expected);
    return { ...id, written: "Hello you".length };
  },
  async cut_at_zero() {
    const options = { then: "repeat", of: client("short", "/growing"), stream: true, max_tokens: 900 };
    const [stream, id] = await asked(messages("anthropic/endless.sse", options));
    const begun = await all(stream);
    const [block, end, last] = begun.splice(-3);
    const written = begun.filter((event) => event.type === "content_block_delta").length;
    same([block.type, end.type, last.type], ["content_block_stop", "message_delta", "message_stop"]);
    same([end.delta.stop_reason, end.usage.output_tokens], ["max_tokens", written]);
    const { code, top_up_url, charged } = end.faregate;
    same([code, top_up_url], ["insufficient_credits", "https://example.com/buy"]);
    return { ...id, written, charged };
  },
  async stream_helper_cut_at_zero() {
    const asking = ask({ max_tokens: 900 });
    const stream = client("short-helped", "/growing").messages.stream(asking, upstream("anthropic/endless.sse", "repeat"));
    const { content, stop_reason, usage } = await stream.finalMessage();
    same([stop_reason, content[0].text.length], ["max_tokens", usage.output_tokens]);
    return { id: stream.request_id, written: usage.output_tokens };
  },
});
