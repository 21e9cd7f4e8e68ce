//! Ollama's own APIs.

use super::*;

fn lines(api: Api) -> Setup {
    Setup {
        framing: Framing::Lines,
        ..setup(api, true)
    }
}

const HELLO: &str = "{\"model\":\"llama3.2\",\"created_at\":\"2026-01-01T00:00:00Z\",\"message\":{\"role\":\"assistant\",\"content\":\"Hello\"},\"done\":false}\n";
const THINKS: &str = "{\"model\":\"llama3.2\",\"created_at\":\"2026-01-01T00:00:01Z\",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"thinking\":\"hm\",\"tool_calls\":[{\"function\":{\"name\":\"get\",\"arguments\":{\"a\":1}}}]},\"done\":false}\n";

fn last(rest: &str) -> String {
    format!(
        "{{\"model\":\"llama3.2\",\"created_at\":\"2026-01-01T00:00:02Z\",\"message\":{{\"role\":\"assistant\",\"content\":\"\"}},\"done_reason\":\"stop\",\"done\":true,\"total_duration\":1,\"load_duration\":1{rest}}}\n"
    )
}

#[test]
fn usage_comes_with_the_last_line() {
    let calls = "[{\"function\":{\"name\":\"get\",\"arguments\":{\"a\":1}}}]".len() as u64;
    for (what, rest, exact, counted, invalid) in [
        (
            "all",
            ",\"prompt_eval_count\":26,\"eval_count\":298",
            Some(Usage::of(26, 298)),
            (0, 0),
            0,
        ),
        ("cached", ",\"eval_count\":298", None, (0, 0), 0),
        ("none", "", None, (7 + calls, 2), 0),
        (
            "negative",
            ",\"prompt_eval_count\":-26,\"eval_count\":-298",
            None,
            (7 + calls, 2),
            2,
        ),
        (
            "zero",
            ",\"prompt_eval_count\":26,\"eval_count\":0",
            None,
            (7 + calls, 2),
            1,
        ),
    ] {
        let stream = [HELLO, THINKS, &last(rest)].concat();
        let want = Want {
            exact,
            counted,
            invalid,
            ..Want::default()
        };
        case(what, lines(Api::OllamaChat), &stream, want);
    }
    let want = Want {
        counted: (5, 1),
        cut: true,
        ..Want::default()
    };
    case("broken off", lines(Api::OllamaChat), HELLO, want);
    let passed = pass_all(lines(Api::OllamaChat), HELLO);
    assert_eq!(passed.model.as_deref(), Some("llama3.2"));
}

#[test]
fn generate_writes_a_response() {
    let stream = "{\"model\":\"m\",\"response\":\"Hel\",\"done\":false}\n{\"model\":\"m\",\"response\":\"lo\",\"done\":false}\r\n\n{\"model\":\"m\",\"response\":\"\",\"done\":true,\"context\":[1,2],\"prompt_eval_count\":3,\"eval_count\":2}";
    let want = Want {
        exact: Some(Usage::of(3, 2)),
        ..Want::default()
    };
    case("generate", lines(Api::OllamaGenerate), stream, want);
    let whole = Setup {
        framing: Framing::Whole,
        ..lines(Api::OllamaGenerate)
    };
    let text =
        "{\"model\":\"m\",\"response\":\"Hello\",\"done\":true,\"prompt_eval_count\":3,\"eval_count\":2}";
    let want = Want {
        exact: Some(Usage::of(3, 2)),
        ..Want::default()
    };
    case("whole", whole, text, want);
}

#[test]
fn a13_an_error_within_a_stream_passes_and_is_known() {
    let want = Want {
        counted: (5, 1),
        failed: true,
        cut: true,
        ..Want::default()
    };
    let stream = format!("{HELLO}{{\"error\":\"an error was encountered while running the model\"}}\n");
    case("error", lines(Api::OllamaChat), &stream, want);
}

#[test]
fn embeddings_read_and_write_nothing() {
    let whole = Setup {
        framing: Framing::Whole,
        ..setup(Api::OpenAiEmbeddings, false)
    };
    let answer = |usage: &str| {
        format!(
            r#"{{"object":"list","data":[{{"object":"embedding","index":0,"embedding":"AAAAvwAA"}},{{"embedding":[0.1,-2e-5]}}],"model":"text-embedding-3-small"{usage}}}"#
        )
    };
    let want = Want {
        exact: Some(Usage::of(8, 0)),
        ..Want::default()
    };
    case(
        "all",
        whole,
        &answer(r#","usage":{"prompt_tokens":8,"total_tokens":8}"#),
        want,
    );
    for (what, usage, invalid) in [
        ("none", "", 0),
        ("zero", r#","usage":{"prompt_tokens":0,"total_tokens":0}"#, 1),
        (
            "negative",
            r#","usage":{"prompt_tokens":-8,"total_tokens":-8}"#,
            2,
        ),
    ] {
        let want = Want {
            invalid,
            ..Want::default()
        };
        case(what, whole, &answer(usage), want);
    }
}
