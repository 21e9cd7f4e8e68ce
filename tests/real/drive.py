"""Drives 100 requests through a running Faregate to a running model server, and compares what each used with what it was charged, token by token.

`SERVER` and `GATE` are their addresses, `KEY_FILE` what `faregate key create --json` said, `POOR_KEY_FILE` the same for an account with 200 micro-credits.
What a stream used is asked of the server itself: the same request again, unstreamed and with the same seed. A token costs a micro-credit; a token of output
is a byte of text.
"""

import http.client
import json
import os
import random
import sys
import time

PATIENCE = 60  # seconds, for each step
TEMPLATE = 23  # request_tokens
LIMIT = 200  # what Faregate tells the server where a request sets no limit (output_tokens_max)
REQUESTS = 100
PROMPTS = [
    "Hi",
    "Tell me of a gate that opens for a fare.",
    "na\u00efve caf\u00e9 \u2013 \u4f60\u597d, \U0001f600",
    "def f(x):\n    return {\"x\": [x, 1.5e3]}\n\n" * 4,
    "The same again and again. " * 20,
]


def requests():
    """100 requests, the same in each run: (path, body, after how many events of its stream the client leaves, or None)."""
    chance = random.Random(3)
    for number in range(REQUESTS):
        prompt = PROMPTS[number % len(PROMPTS)]
        body = {"model": "tiny", "seed": number + 1, "temperature": 1.0}
        if number % 2 == 0:
            path = "/v1/chat/completions"
            body["messages"] = [{"role": "user", "content": prompt}]
            if number % 3 == 0:
                body["messages"].insert(0, {"role": "system", "content": "Be brief."})
        else:
            path = "/v1/completions"
            body["prompt"] = prompt
        body["max_tokens"] = chance.choice([1, 5, 17, 64, 150])
        if path == "/v1/chat/completions" and chance.random() < 0.2:
            del body["max_tokens"]
        if chance.random() < 0.25:
            body["stop"] = chance.choice([["e"], ["q", "zz"], "A"])
        leaves = None
        if chance.random() < 0.6:
            body["stream"] = True
            if chance.random() < 0.3:
                body["stream_options"] = {"include_usage": True}
            if chance.random() < 0.35:
                leaves = chance.randrange(1, 12)
        yield path, body, leaves


def send(address, method, path, body=None, key=None):
    """The answer, and its connection."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    return connection.getresponse(), connection


def written(choice):
    return choice.get("text") or choice.get("delta", {}).get("content") or choice.get("message", {}).get("content") or ""


def read(answer, leaves):
    """The text of a stream, what usage it reported, and whether the client left: up to its end, or to the event after which the client leaves."""
    text, usage, events = "", None, 0
    for line in answer:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[len(b"data: ") :])
        text += "".join(written(choice) for choice in event["choices"])
        usage = event.get("usage") or usage
        events += 1
        if events == leaves:
            return text, usage, True
    return text, usage, False


def charge(gate, key, request):
    """What is charged, when it is settled."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer, connection = send(gate, "GET", f"/faregate/v1/charges/{request}", key=key)
        told = json.load(answer)
        connection.close()
        if answer.status == 200 and told["status"] != "open":
            return told
        time.sleep(0.02)
    sys.exit(f"{request}: not settled in {PATIENCE} s")


def micro(credits):
    whole, part = credits.split(".")
    return int(whole) * 1_000_000 + int(part.ljust(6, "0"))


def again(server, path, body):
    """What the server says of the same request, unstreamed: its usage and its text."""
    body = {"max_tokens": LIMIT} | {name: value for name, value in body.items() if not name.startswith("stream")}
    answer, connection = send(server, "POST", path, body)
    told = json.load(answer)
    connection.close()
    return told["usage"], written(told["choices"][0])


def one(server, gate, key, path, body, leaves):
    """One request: its row, and what is wrong with it."""
    answer, connection = send(gate, "POST", path, body, key)
    if answer.status != 200:
        sys.exit(f"{path} {body}: {answer.status} {answer.read()}")
    stream = body.get("stream", False)
    if stream:
        text, reported, cut = read(answer, leaves)
    else:
        told = json.load(answer)
        text, reported, cut = written(told["choices"][0]), told["usage"], False
    # The answer has the connection open as well: until both are closed, nobody has left.
    answer.close()
    connection.close()
    told = charge(gate, key, answer.headers["x-request-id"])
    entry = next(entry for entry in told["entries"] if entry["kind"] == "capture")
    truth, whole = again(server, path, body)
    row = {
        "path": path.removeprefix("/v1/"),
        "how": "cut" if cut else "streamed" if stream else "unstreamed",
        # Where the client has left, nobody says what the server wrote: what came is the least.
        "used": (truth["prompt_tokens"], len(text.encode()) if cut else truth["completion_tokens"]),
        "charged": tuple(entry["usage"].get(kind, 0) for kind in ["input", "output"]),
        "credits": micro(told["charged"]),
    }
    return row, list(wrong(row, body, reported, truth, text, whole))


def wrong(row, body, reported, truth, text, whole):
    """What is not as docs/metering.md has it."""
    used, charged, came = sum(row["used"]), row["charged"], len(text.encode())
    if row["credits"] != sum(charged):
        yield "the credits are not the tokens"
    if not body.get("stream", False):
        if charged != (reported["prompt_tokens"], reported["completion_tokens"]):
            yield "not what the answer reports"
        return
    if reported is not None:
        yield "a stream reported usage: estimates are no longer what is looked at here"
    if not whole.startswith(text):
        yield f"the server does not say the same again: {text!r}, then {whole!r}"
    if row["credits"] < used:
        yield "less than was used"
    if not truth["prompt_tokens"] <= charged[0] <= len(json.dumps(body)) + TEMPLATE:
        yield "the input is not between what was read and a token per byte of the body"
    if row["how"] == "cut":
        if not came <= charged[1] <= truth["completion_tokens"]:
            yield "the output is not between what the client saw and what there was"
    elif charged[1] != came:
        yield "the output is not a token per byte"
    elif not 0 <= row["used"][1] - came <= stop_max(body):
        yield "a token is no byte of text, and no stop text was held back"


def at_zero(gate):
    """A stream of a customer with 200 micro-credits, whose model would write on: what is wrong with its end."""
    key = key_in("POOR_KEY_FILE")
    messages = [{"role": "user", "content": "Hi"}]
    body = {"model": "tiny", "messages": messages, "logit_bias": {"2": -100}, "stream": True}
    answer, _ = send(gate, "POST", "/v1/chat/completions", body, key)
    stream = answer.read().decode()
    text, *_ = read(stream.encode().splitlines(), None)
    told = charge(gate, key, answer.headers["x-request-id"])
    entry = next(entry for entry in told["entries"] if entry["kind"] == "capture")
    print(f"at zero: {entry['usage']}, {len(text)} bytes came, charged {micro(told['charged'])} of 200")
    if micro(told["charged"]) != 200 or entry["usage"]["input"] + len(text) != 200:
        yield "not all that there was, to the last byte that came"
    if '"insufficient_credits"' not in stream or '"finish_reason":"length"' not in stream or "[DONE]" not in stream:
        yield f"no end that says why: {stream[-300:]}"


def key_in(variable):
    with open(os.environ[variable], encoding="utf-8") as file:
        return json.load(file)["key"]


def stop_max(body):
    """The most tokens that the server writes and holds back: the longest of the texts at which it stops."""
    stops = body.get("stop", [])
    return max(map(len, [stops] if isinstance(stops, str) else stops), default=0)


def main():
    server, gate, key = os.environ["SERVER"], os.environ["GATE"], key_in("KEY_FILE")
    rows, failed = [], 0
    print("  n request          how         read  written  charged for it  credits")
    for number, (path, body, leaves) in enumerate(requests()):
        row, problems = one(server, gate, key, path, body, leaves)
        rows.append(row)
        (read_, written_), (input_, output) = row["used"], row["charged"]
        print(f"{number:3} {row['path']:16} {row['how']:10} {read_:5} {written_:8} {input_:9} + {output:4} {row['credits']:7}")
        for problem in problems:
            failed += 1
            print(f"    WRONG: {problem}; {json.dumps(body)}")
    print("\nhow         requests  exact  output exact    read  written  charged: input  output")
    for how in ["unstreamed", "streamed", "cut"]:
        some = [row for row in rows if row["how"] == how]
        exact = sum(row["used"] == row["charged"] for row in some)
        output = sum(row["used"][1] == row["charged"][1] for row in some)
        sums = [sum(row[name][n] for row in some) for name in ["used", "charged"] for n in range(2)]
        print(f"{how:10} {len(some):9} {exact:6} {output:13} {sums[0]:7} {sums[1]:8} {sums[2]:15} {sums[3]:7}")
    print(f"used {sum(sum(row['used']) for row in rows)}, charged {sum(row['credits'] for row in rows)}; wrong: {failed}")
    for problem in at_zero(gate):
        failed += 1
        print(f"    WRONG: {problem}")
    sys.exit(1 if failed or len(rows) != REQUESTS else 0)


if __name__ == "__main__":
    main()
