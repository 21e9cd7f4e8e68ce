//! Messages.

use super::*;

const API: Api = Api::AnthropicMessages;

fn events(data: &[&str]) -> String {
    let name = |data: &str| {
        let value = crate::meter::json::loose(data.as_bytes()).unwrap();
        value.get("type").unwrap().str().unwrap().into_owned()
    };
    data.iter()
        .map(|data| format!("event: {}\ndata: {data}\n\n", name(data)))
        .collect()
}

fn start(usage: &str) -> String {
    format!(
        r#"{{"type":"message_start","message":{{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude-sonnet-4-5","stop_reason":null,"stop_sequence":null,"usage":{usage}}}}}"#
    )
}

fn end(usage: &str) -> String {
    format!(
        r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn","stop_sequence":null}},"usage":{usage}}}"#
    )
}

const STOP: &str = r#"{"type":"message_stop"}"#;

fn with(start: &str, end: Option<&str>) -> String {
    let mut data = vec![
        start,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" w\u00f6rld"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
    ];
    data.extend(end.into_iter().chain(end.map(|_| STOP)));
    events(&data)
}

#[test]
fn usage_comes_in_two_parts() {
    let first = start(
        r#"{"input_tokens":25,"cache_creation_input_tokens":30,"cache_read_input_tokens":40,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":20},"output_tokens":1,"service_tier":"standard"}"#,
    );
    let read = Usage::of(25, 0)
        .with(Class::CachedInput, 40)
        .with(Class::CacheWrite, 10)
        .with(Class::CacheWriteLong, 20);
    let want = Want {
        exact: Some(read.with(Class::Output, 15)),
        ..Want::default()
    };
    let last = end(r#"{"output_tokens":15}"#);
    let stream = with(&first, Some(&last));
    case("the older form", setup(API, true), &stream, want);
    assert_eq!(
        pass_all(setup(API, true), &stream).model.as_deref(),
        Some("claude-sonnet-4-5")
    );

    let want = Want {
        exact: Some(
            Usage::of(25, 15)
                .with(Class::CachedInput, 45)
                .with(Class::CacheWrite, 10)
                .with(Class::CacheWriteLong, 20),
        ),
        ..Want::default()
    };
    let last = end(
        r#"{"input_tokens":25,"cache_creation_input_tokens":30,"cache_read_input_tokens":45,"output_tokens":15}"#,
    );
    case(
        "the newer form",
        setup(API, true),
        &with(&first, Some(&last)),
        want,
    );

    let want = Want {
        exact: Some(read.with(Class::Output, 15)),
        ..Want::default()
    };
    let last = end(r#"{"input_tokens":25,"cache_read_input_tokens":null,"output_tokens":15}"#);
    case(
        "the rest left out",
        setup(API, true),
        &with(&first, Some(&last)),
        want,
    );

    let want = Want {
        counted: (12, 2),
        cut: true,
        ..Want::default()
    };
    case("broken off", setup(API, true), &with(&first, None), want);
    let tally = pass_all(setup(API, true), &with(&first, None)).tally;
    // What it says at its beginning is where its count starts, and no report of what came behind it.
    assert_eq!(tally.usage, read);
    assert!(tally.input_reported && !tally.output_reported);

    let want = Want {
        exact: Some(read.with(Class::Output, 15)),
        ..Want::default()
    };
    let middle = events(&[&end(r#"{"output_tokens":15}"#)]);
    let stream = with(&first, None) + &middle;
    case(
        "reported before it broke off",
        setup(API, true),
        &stream,
        Want { cut: true, ..want },
    );
}

#[test]
fn servers_that_know_only_at_the_end() {
    let first = start(r#"{"input_tokens":0,"output_tokens":0}"#);
    let last = end(r#"{"input_tokens":25,"output_tokens":15}"#);
    let want = Want {
        exact: Some(Usage::of(25, 15)),
        invalid: 1,
        ..Want::default()
    };
    case("vLLM", setup(API, true), &with(&first, Some(&last)), want);
}

#[test]
fn a14_numbers_that_cannot_be() {
    for (what, first, last, exact, counted, invalid) in [
        (
            "no output",
            r#"{"input_tokens":25,"output_tokens":1}"#,
            "null",
            None,
            (12, 2),
            0,
        ),
        (
            "zero output",
            r#"{"input_tokens":25,"output_tokens":1}"#,
            r#"{"output_tokens":0}"#,
            None,
            (12, 2),
            1,
        ),
        (
            "negative output",
            r#"{"input_tokens":25,"output_tokens":1}"#,
            r#"{"output_tokens":-4}"#,
            None,
            (12, 2),
            1,
        ),
        (
            "a cache read that cannot be",
            r#"{"input_tokens":25,"cache_read_input_tokens":"40","output_tokens":1}"#,
            r#"{"output_tokens":4}"#,
            None,
            (0, 0),
            1,
        ),
        (
            "parts less than the sum",
            r#"{"input_tokens":25,"cache_creation_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":5}}"#,
            r#"{"output_tokens":4}"#,
            Some(
                Usage::of(25, 4)
                    .with(Class::CacheWrite, 10)
                    .with(Class::CacheWriteLong, 20),
            ),
            (0, 0),
            0,
        ),
        (
            "more thinking than output",
            r#"{"input_tokens":25}"#,
            r#"{"output_tokens":4,"output_tokens_details":{"thinking_tokens":9}}"#,
            Some(Usage::of(25, 4).with(Class::Reasoning, 9)),
            (0, 0),
            1,
        ),
        (
            "thinking told apart",
            r#"{"input_tokens":25}"#,
            r#"{"output_tokens":15,"output_tokens_details":{"thinking_tokens":9}}"#,
            Some(Usage::of(25, 6).with(Class::Reasoning, 9)),
            (0, 0),
            0,
        ),
        (
            "parts without a sum",
            r#"{"input_tokens":25,"cache_creation":{"ephemeral_5m_input_tokens":10,"ephemeral_1h_input_tokens":5}}"#,
            r#"{"output_tokens":4}"#,
            Some(
                Usage::of(25, 4)
                    .with(Class::CacheWrite, 10)
                    .with(Class::CacheWriteLong, 5),
            ),
            (0, 0),
            0,
        ),
    ] {
        let want = Want {
            exact,
            counted,
            invalid,
            ..Want::default()
        };
        case(
            what,
            setup(API, false),
            &with(&start(first), Some(&end(last))),
            want,
        );
    }
}

#[test]
fn all_that_the_model_writes_is_text() {
    for (what, event, bytes) in [
        (
            "a tool",
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"get","input":{}}}"#,
            3,
        ),
        (
            "its input",
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
            5,
        ),
        (
            "thinking",
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
            2,
        ),
        (
            "what a server's tool found",
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"web_search_tool_result","tool_use_id":"x","content":[{"title":"y"}]}}"#,
            0,
        ),
        (
            "a citation",
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"cited_text":"abc"}}}"#,
            0,
        ),
    ] {
        let want = Want {
            counted: (bytes, u64::from(bytes > 0)),
            cut: true,
            ..Want::default()
        };
        case(what, setup(API, false), &events(&[event]), want);
    }
}

#[test]
fn a13_an_error_within_a_stream_passes_and_is_known() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let stream = with(&start(r#"{"input_tokens":25,"output_tokens":1}"#), None) + &events(&[error]);
    let want = Want {
        counted: (12, 2),
        failed: true,
        cut: true,
        ..Want::default()
    };
    case("error", setup(API, false), &stream, want);
}

#[test]
fn whole_messages_are_read() {
    let whole = Setup {
        framing: Framing::Whole,
        ..setup(API, false)
    };
    let answer = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"Hello"},{"type":"tool_use","id":"toolu_1","name":"get","input":{"a":"b"}}],"stop_reason":"tool_use","usage":{"input_tokens":25,"cache_read_input_tokens":5,"output_tokens":15}}"#;
    let want = Want {
        exact: Some(Usage::of(25, 15).with(Class::CachedInput, 5)),
        ..Want::default()
    };
    case("whole", whole, answer, want);
    let want = Want {
        failed: true,
        ..Want::default()
    };
    case(
        "an error",
        whole,
        r#"{"type":"error","error":{"type":"api_error","message":"no"}}"#,
        want,
    );
}
