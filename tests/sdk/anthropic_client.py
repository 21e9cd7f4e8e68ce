"""The official Anthropic package against a gate, as a customer would use it."""

from anthropic import (
    Anthropic,
    AuthenticationError,
    BadRequestError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
)
from pydantic import BaseModel

from common import ASK, KEYS, URL, WEATHER, breaks, events, raises, run, same, seen, upstream

TOOL = {"name": "weather", "input_schema": WEATHER}


class Weather(BaseModel):
    city: str
    degrees: int


def client(account="acme", path=""):
    return Anthropic(base_url=URL + path, api_key=KEYS[account])


def ask(answer, then="end", **more):
    return {"model": "small", "max_tokens": 100, "messages": ASK, "extra_headers": upstream(answer, then)} | more


def messages_of(answer, then="end", of=None, **more):
    return (of or client()).messages.create(**ask(answer, then, **more))


def id_of(answer):
    """Where the SDK reads the id of a request."""
    return {"id": getattr(answer, "_request_id", None) or answer.response.headers["request-id"]}


def without_pings(answer):
    """The SDK keeps them to itself."""
    return [event for event in events(answer) if event["type"] != "ping"]


def messages():
    answer = messages_of("anthropic/messages.json")
    same((answer.content[0].text, answer.stop_reason, answer.usage.output_tokens), ("Hello there.", "end_turn", 6))
    return id_of(answer)


def messages_streamed():
    stream = messages_of("anthropic/messages.sse", stream=True)
    same(seen(stream), without_pings("anthropic/messages.sse"))
    return id_of(stream)


def messages_streamed_with_cost():
    asking = client().with_options(default_headers={"x-usage-cost": "true"})
    stream = messages_of("anthropic/messages.sse", of=asking, stream=True)
    expected = without_pings("anthropic/messages.sse")
    expected[-2]["usage"]["cost"] = "0.000046"
    same(seen(stream), expected)
    return id_of(stream)


def messages_stream_helper():
    with client().messages.stream(**ask("anthropic/messages.sse")) as stream:
        same("".join(stream.text_stream), "Hello there. Æøå")
        same(stream.get_final_message().usage.output_tokens, 8)
        return {"id": stream.request_id}


def tools():
    answer = messages_of("anthropic/tools.json", tools=[TOOL], tool_choice={"type": "any"})
    same((answer.stop_reason, answer.content[1].input), ("tool_use", {"city": "Oslo"}))
    return id_of(answer)


def tools_streamed():
    with client().messages.stream(**ask("anthropic/tools.sse", tools=[TOOL])) as stream:
        same(stream.get_final_message().content[0].input, {"city": "Oslo"})
        return {"id": stream.request_id}


def parsed():
    answer = client().messages.parse(**ask("anthropic/parsed.json", output_format=Weather))
    same(answer.parsed_output, Weather(city="Oslo", degrees=-3))
    return id_of(answer)


def told(error, status, kind, code):
    """Everything that an exception says of a refusal."""
    same((error.status_code, error.type, error.error_code), (status, kind, code))
    same(error.body["error"]["details"]["error_code"], code)
    same((error.request_id, error.body["request_id"]), (error.response.headers["x-request-id"],) * 2)
    assert error.api_message in str(error), error
    return {"id": error.request_id}


def unknown_key():
    stranger = Anthropic(base_url=URL, api_key="fg_live_" + "0" * 32)
    error = raises(AuthenticationError, lambda: messages_of("anthropic/messages.json", of=stranger))
    return told(error, 401, "authentication_error", "invalid_api_key")


def no_credits():
    error = raises(PaymentRequiredError, lambda: messages_of("anthropic/messages.json", of=client("poor")))
    details = error.body["error"]["details"]
    same((details["available"], details["required"]), ("0.000000", details["shortfall"]))
    same(details["top_up_url"], "https://example.com/buy")
    return told(error, 402, "billing_error", "insufficient_credits")


def no_credits_streamed():
    error = raises(PaymentRequiredError, lambda: messages_of("anthropic/messages.sse", of=client("poor"), stream=True))
    return told(error, 402, "billing_error", "insufficient_credits")


def paused():
    error = raises(PermissionDeniedError, lambda: messages_of("anthropic/messages.json", of=client("paused")))
    same(error.body["error"]["details"]["reasons"], ["manual"])
    return told(error, 403, "permission_error", "account_paused")


def unpriced_model():
    error = raises(BadRequestError, lambda: messages_of("anthropic/messages.json", model="unheard-of"))
    same(error.body["error"]["details"]["model"], "unheard-of")
    return told(error, 400, "invalid_request_error", "model_not_priced")


def rate_limited():
    impatient = client("limited").with_options(max_retries=0)
    served = 0
    try:
        while served < 100:
            messages_of("anthropic/messages.json", of=impatient)
            served += 1
    except RateLimitError as error:
        assert 1 <= int(error.response.headers["retry-after"]) <= 60, error.response.headers
        return told(error, 429, "rate_limit_error", "rate_limited") | {"served": served}
    raise AssertionError("not limited")


def waits_out_the_limit():
    # Refused with `x-should-retry: true` and `Retry-After`, the SDK comes again by itself.
    return id_of(messages_of("anthropic/messages.json", of=client("limited")))


def disconnect():
    stream = messages_of("anthropic/begun.sse", then="stall", stream=True)
    expected = events("anthropic/begun.sse")
    same(seen(next(stream) for _ in expected), expected)
    stream.close()
    return id_of(stream) | {"written": len("Hello you")}


def broken_stream():
    stream = messages_of("anthropic/begun.sse", then="break", stream=True)
    expected = events("anthropic/begun.sse")
    breaks(stream, expected)
    return id_of(stream) | {"written": len("Hello you")}


def cut_at_zero():
    poorer = client("short", "/growing")
    stream = messages_of("anthropic/endless.sse", then="repeat", of=poorer, stream=True, max_tokens=900)
    *begun, block, end, last = stream
    written = sum(len(event.delta.text) for event in begun if event.type == "content_block_delta")
    same((block.type, end.type, last.type), ("content_block_stop", "message_delta", "message_stop"))
    same((end.delta.stop_reason, end.usage.output_tokens), ("max_tokens", written))
    why = end.model_extra["faregate"]
    same((why["code"], why["top_up_url"]), ("insufficient_credits", "https://example.com/buy"))
    return id_of(stream) | {"written": written, "charged": why["charged"]}


def stream_helper_cut_at_zero():
    asking = ask("anthropic/endless.sse", "repeat", max_tokens=900)
    with client("short-helped", "/growing").messages.stream(**asking) as stream:
        answer = stream.get_final_message()
        same((answer.stop_reason, len(answer.content[0].text)), ("max_tokens", answer.usage.output_tokens))
        return {"id": stream.request_id, "written": answer.usage.output_tokens}


run([
    messages, messages_streamed, messages_streamed_with_cost, messages_stream_helper, tools, tools_streamed, parsed,
    unknown_key, no_credits, no_credits_streamed, paused, unpriced_model, rate_limited, waits_out_the_limit,
    disconnect, broken_stream, cut_at_zero, stream_helper_cut_at_zero,
])  # fmt: skip
