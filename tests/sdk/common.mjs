// What the Node clients share: where the gate is, what the upstream answers, and how cases are told.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const GATE = process.env.GATE_URL;
export const KEYS = JSON.parse(process.env.GATE_KEYS);

export const ASK = [{ role: "user", content: "How cold is it in Oslo? Ærlig talt." }];
export const WEATHER = {
  type: "object",
  properties: { city: { type: "string" }, degrees: { type: "integer" } },
  required: ["city", "degrees"],
  additionalProperties: false,
};

// Headers that tell the upstream what to answer, and how to go on behind it: "end", "stall", "break" off, or "repeat" its last event.
export const upstream = (answer, then = "end") => ({ headers: { "x-answer": answer, "x-then": then } });

// The events of a stream, as the upstream sends them.
export function events(answer) {
  const text = readFileSync(new URL(`answers/${answer}`, import.meta.url), "utf8");
  const data = text.split("\n").filter((line) => line.startsWith("data: "));
  return data.map((line) => line.slice("data: ".length)).filter((event) => event !== "[DONE]").map((event) => JSON.parse(event));
}

export const same = (found, expected) => assert.deepEqual(found, expected);

export async function all(stream) {
  const found = [];
  for await (const event of stream) found.push(event);
  return found;
}

// A request, what the SDK makes of its answer, and where it reads the id of it.
export async function asked(promise) {
  const { data, request_id } = await promise.withResponse();
  return [data, { id: request_id }];
}

// The same for helpers that keep the id to themselves: it is seen on the way.
export async function watched(client, helper) {
  let id;
  const send = client.fetch;
  client.fetch = async (...request) => {
    const response = await send(...request);
    id = response.headers.get("x-request-id");
    return response;
  };
  return [await helper(client), { id }];
}

// The first events of a stream, which is left behind them.
export async function first(count, stream) {
  const found = [];
  for await (const event of stream) {
    found.push(event);
    if (found.length === count) break;
  }
  return found;
}

// The stream must bring these events and then throw something: an answer that broke off must not look like a whole one.
export async function breaks(stream, expected) {
  const found = [];
  try {
    for await (const event of stream) found.push(event);
  } catch {
    return same(found, expected);
  }
  assert.fail("a stream that broke off has ended well");
}

// The exception of exactly this kind that the promise must be rejected with.
export async function raises(kind, promise) {
  const error = await promise.then(() => assert.fail(`no ${kind.name}`), (error) => error);
  assert.equal(error.constructor, kind, `${error.constructor.name} instead of ${kind.name}: ${error}`);
  return error;
}

// Runs the cases in their order; a line of JSON for each one that holds, the end at the first that does not.
export async function run(cases) {
  for (const [name, holds] of Object.entries(cases)) {
    try {
      console.log(JSON.stringify({ case: name, ...(await holds()) }));
    } catch (error) {
      console.error(error);
      console.error(`${name} does not hold`);
      process.exit(1);
    }
  }
}
