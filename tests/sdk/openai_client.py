"""The official OpenAI package against a gate, as a customer would use it."""

from openai import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    LengthFinishReasonError,
    OpenAI,
    PermissionDeniedError,
    RateLimitError,
)
from pydantic import BaseModel

from common import ASK, KEYS, URL, WEATHER, breaks, events, raises, run, same, seen, upstream

TOOL = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
FLAT_TOOL = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}


class Weather(BaseModel):
    city: str
    degrees: int


def client(account="acme", path="/v1"):
    return OpenAI(base_url=URL + path, api_key=KEYS[account])


def chat(answer, then="end", of=None, **more):
    return (of or client()).chat.completions.create(
        model="small", messages=ASK, extra_headers=upstream(answer, then), **more
    )


def id_of(answer):
    """Where the SDK reads the id of a request; of a stream it has the response only."""
    return {"id": getattr(answer, "_request_id", None) or answer.response.headers["x-request-id"]}


def without_usage(answer):
    """What of a stream is for a client that did not ask for usage."""
    return [{k: v for k, v in event.items() if k != "usage"} for event in events(answer) if event["choices"]]


def chat_plain():
    answer = chat("openai/chat.json")
    same((answer.choices[0].message.content, answer.usage.total_tokens), ("Hello there.", 22))
    return id_of(answer)


def chat_streamed():
    stream = chat("openai/chat.sse", stream=True)
    same(seen(stream), without_usage("openai/chat.sse"))
    return id_of(stream)


def chat_streamed_with_usage():
    stream = chat("openai/chat.sse", stream=True, stream_options={"include_usage": True})
    same(seen(stream), events("openai/chat.sse"))
    return id_of(stream)


def chat_streamed_with_cost():
    asking = client().with_options(default_headers={"x-usage-cost": "true"})
    stream = chat("openai/chat.sse", of=asking, stream=True, stream_options={"include_usage": True})
    expected = events("openai/chat.sse")
    expected[-1]["usage"]["cost"] = "0.000059"
    same(seen(stream), expected)
    return id_of(stream)


def chat_tools():
    answer = chat("openai/chat_tools.json", tools=[TOOL], tool_choice="required")
    call = answer.choices[0].message.tool_calls[0].function
    same((answer.choices[0].finish_reason, call.name, call.arguments), ("tool_calls", "weather", '{"city":"Oslo"}'))
    return id_of(answer)


def chat_tools_streamed():
    with client().chat.completions.stream(
        model="small", messages=ASK, tools=[TOOL], extra_headers=upstream("openai/chat_tools.sse")
    ) as stream:
        answer = stream.get_final_completion()
        same(answer.choices[0].message.tool_calls[0].function.arguments, '{"city":"Oslo"}')
        same(answer.usage, None)
        return {"id": stream._response.headers["x-request-id"]}


def chat_parsed():
    answer = client().chat.completions.parse(
        model="small", messages=ASK, response_format=Weather, extra_headers=upstream("openai/chat_parsed.json")
    )
    same(answer.choices[0].message.parsed, Weather(city="Oslo", degrees=-3))
    return id_of(answer)


def chat_parsed_streamed():
    with client().chat.completions.stream(
        model="small", messages=ASK, response_format=Weather, extra_headers=upstream("openai/chat_parsed.sse")
    ) as stream:
        same(stream.get_final_completion().choices[0].message.parsed, Weather(city="Oslo", degrees=-3))
        return {"id": stream._response.headers["x-request-id"]}


def completions():
    answer = client().completions.create(model="small", prompt="Hi", extra_headers=upstream("openai/completions.json"))
    same(answer.choices[0].text, "Hello there.")
    return id_of(answer)


def completions_streamed():
    stream = client().completions.create(
        model="small", prompt="Hi", stream=True, extra_headers=upstream("openai/completions.sse")
    )
    same(seen(stream), without_usage("openai/completions.sse"))
    return id_of(stream)


def embeddings():
    # The SDK asks for base64 by itself, and decodes it.
    answer = client().embeddings.create(
        model="embed", input=["one", "two"], extra_headers=upstream("openai/embeddings.json")
    )
    same([item.embedding for item in answer.data], [[0.5, -0.25, 2.0], [1.0, 0.0, -1.5]])
    return id_of(answer)


def responses():
    answer = client().responses.create(model="small", input="Hi", extra_headers=upstream("openai/responses.json"))
    same((answer.status, answer.output_text), ("completed", "Hello there."))
    return id_of(answer)


def responses_streamed():
    stream = client().responses.create(
        model="small", input=ASK, stream=True, extra_headers=upstream("openai/responses.sse")
    )
    same(seen(stream), events("openai/responses.sse"))
    return id_of(stream)


def responses_stream_helper():
    with client().responses.stream(model="small", input=ASK, extra_headers=upstream("openai/responses.sse")) as stream:
        same(stream.get_final_response().output_text, "Hello there. Æøå")
        return {"id": stream._response.headers["x-request-id"]}


def responses_tools():
    answer = client().responses.create(
        model="small", input="Hi", tools=[FLAT_TOOL], extra_headers=upstream("openai/responses_tools.json")
    )
    same(answer.output[0].arguments, '{"city":"Oslo"}')
    return id_of(answer)


def responses_parsed():
    answer = client().responses.parse(
        model="small", input="Hi", text_format=Weather, extra_headers=upstream("openai/responses_parsed.json")
    )
    same(answer.output_parsed, Weather(city="Oslo", degrees=-3))
    return id_of(answer)


def models():
    listed = client().models.list(extra_headers=upstream("openai/models.json"))
    same([model.id for model in listed], ["small", "embed"])
    return {}


def told(error, status, kind, code):
    """Everything that an exception says of a refusal."""
    same((error.status_code, error.type, error.code), (status, kind, code))
    same(error.request_id, error.response.headers["x-request-id"])
    assert error.body["message"] in str(error), error
    return {"id": error.request_id}


def unknown_key():
    stranger = OpenAI(base_url=URL + "/v1", api_key="fg_live_" + "0" * 32)
    error = raises(AuthenticationError, lambda: chat("openai/chat.json", of=stranger))
    return told(error, 401, "invalid_request_error", "invalid_api_key")


def no_credits():
    error = raises(APIStatusError, lambda: chat("openai/chat.json", of=client("poor")))
    body = error.body
    same((body["available"], body["required"]), ("0.000000", body["shortfall"]))
    same(body["top_up_url"], "https://example.com/buy")
    return told(error, 402, "insufficient_quota", "insufficient_credits")


def no_credits_streamed():
    error = raises(APIStatusError, lambda: chat("openai/chat.sse", of=client("poor"), stream=True))
    return told(error, 402, "insufficient_quota", "insufficient_credits")


def paused():
    error = raises(PermissionDeniedError, lambda: chat("openai/chat.json", of=client("paused")))
    same(error.body["reasons"], ["manual"])
    return told(error, 403, "permission_error", "account_paused")


def unpriced_model():
    ask = {"model": "unheard-of", "messages": ASK}
    error = raises(BadRequestError, lambda: client().chat.completions.create(**ask))
    same(error.body["model"], "unheard-of")
    return told(error, 400, "invalid_request_error", "model_not_priced")


def rate_limited():
    impatient = client("limited").with_options(max_retries=0)
    served = 0
    try:
        while served < 100:
            chat("openai/chat.json", of=impatient)
            served += 1
    except RateLimitError as error:
        assert 1 <= int(error.response.headers["retry-after"]) <= 60, error.response.headers
        return told(error, 429, "rate_limit_error", "rate_limited") | {"served": served}
    raise AssertionError("not limited")


def waits_out_the_limit():
    # Refused with `x-should-retry: true` and `Retry-After`, the SDK comes again by itself.
    return id_of(chat("openai/chat.json", of=client("limited")))


def disconnect():
    stream = chat("openai/chat_begun.sse", then="stall", stream=True, max_completion_tokens=100)
    expected = without_usage("openai/chat_begun.sse")
    same(seen(next(stream) for _ in expected), expected)
    stream.close()
    return id_of(stream) | {"written": len("Hello you")}


def broken_stream():
    stream = chat("openai/chat_begun.sse", then="break", stream=True, max_completion_tokens=100)
    error = breaks(stream, without_usage("openai/chat_begun.sse"))
    assert type(error) is APIConnectionError, error
    return id_of(stream) | {"written": len("Hello you")}


def responses_disconnect():
    stream = client().responses.create(
        model="small",
        input="Hi",
        stream=True,
        max_output_tokens=100,
        extra_headers=upstream("openai/responses_begun.sse", "stall"),
    )
    expected = events("openai/responses_begun.sse")
    same(seen(next(stream) for _ in expected), expected)
    stream.close()
    return id_of(stream) | {"written": len("Hello you")}


def cut_at_zero():
    poorer = client("short", "/growing/v1")
    stream = chat("openai/chat_endless.sse", then="repeat", of=poorer, stream=True, max_completion_tokens=900)
    *begun, last = stream
    same(begun[0].choices[0].delta.role, "assistant")
    written = sum(len(chunk.choices[0].delta.content) for chunk in begun)
    same((last.id, last.choices[0].finish_reason, last.choices[0].delta.content), ("chatcmpl-B2", "length", None))
    why = last.model_extra["faregate"]
    same((why["code"], why["top_up_url"]), ("insufficient_credits", "https://example.com/buy"))
    return id_of(stream) | {"written": written, "charged": why["charged"]}


def stream_helper_cut_at_zero():
    with client("short-helped", "/growing/v1").chat.completions.stream(
        model="small",
        messages=ASK,
        max_completion_tokens=900,
        extra_headers=upstream("openai/chat_endless.sse", "repeat"),
    ) as stream:
        # As at any limit: this helper gives an answer that is not whole by an exception of its own.
        choice = raises(LengthFinishReasonError, stream.get_final_completion).completion.choices[0]
        same(choice.finish_reason, "length")
        return {"id": stream._response.headers["x-request-id"], "written": len(choice.message.content)}


def responses_cut_at_zero():
    stream = client("short-too", "/growing/v1").responses.create(
        model="small",
        input="Hi",
        stream=True,
        max_output_tokens=900,
        extra_headers=upstream("openai/responses_endless.sse", "repeat"),
    )
    *begun, last = stream
    written = sum(len(event.delta) for event in begun if event.type == "response.output_text.delta")
    same((last.type, last.response.status), ("response.incomplete", "incomplete"))
    same(last.response.incomplete_details.reason, "max_output_tokens")
    why = last.model_extra["faregate"]
    same((why["code"], last.response.usage.output_tokens), ("insufficient_credits", written))
    return id_of(stream) | {"written": written, "charged": why["charged"]}


run([
    chat_plain, chat_streamed, chat_streamed_with_usage, chat_streamed_with_cost, chat_tools, chat_tools_streamed, chat_parsed, chat_parsed_streamed,
    completions, completions_streamed, embeddings,
    responses, responses_streamed, responses_stream_helper, responses_tools, responses_parsed,
    models, unknown_key, no_credits, no_credits_streamed, paused, unpriced_model, rate_limited, waits_out_the_limit,
    disconnect, broken_stream, responses_disconnect, cut_at_zero, stream_helper_cut_at_zero, responses_cut_at_zero,
])  # fmt: skip
