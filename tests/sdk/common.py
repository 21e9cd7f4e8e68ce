"""What the Python clients share: where the gate is, what the upstream answers, and how cases are told."""

import json
import os
import pathlib
import sys
import traceback

URL = os.environ["GATE_URL"]
KEYS = json.loads(os.environ["GATE_KEYS"])
ANSWERS = pathlib.Path(__file__).parent / "answers"

ASK = [{"role": "user", "content": "How cold is it in Oslo? Ærlig talt."}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}


def upstream(answer, then="end"):
    """Headers that tell the upstream what to answer, and how to go on behind it: "end", "stall", "break" off, or "repeat" its last event."""
    return {"x-answer": answer, "x-then": then}


def events(answer):
    """The events of a stream, as the upstream sends them."""
    lines = (ANSWERS / answer).read_text(encoding="utf-8").splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(event) for event in data if event != "[DONE]"]


def seen(models):
    """What the SDK made of a stream, as it came."""
    return [model.to_dict(mode="json") for model in models]


def same(found, expected):
    assert found == expected, f"\nfound    {found!r}\nexpected {expected!r}"


def breaks(stream, expected):
    """The stream must bring these events and then raise something: an answer that broke off must not look like a whole one."""
    found = []
    try:
        for event in stream:
            found.append(event.to_dict(mode="json"))
    except Exception as error:
        same(found, expected)
        return error
    raise AssertionError("a stream that broke off has ended well")


def raises(kind, call):
    """The exception of exactly this kind that the call must raise."""
    try:
        call()
    except Exception as error:
        assert type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}"
        return error
    raise AssertionError(f"no {kind.__name__}")


def run(cases):
    """Runs the cases in their order; a line of JSON for each one that holds, the end at the first that does not."""
    for case in cases:
        try:
            told = case()
        except Exception:
            traceback.print_exc()
            sys.exit(f"{case.__name__} does not hold")
        print(json.dumps({"case": case.__name__} | told), flush=True)
