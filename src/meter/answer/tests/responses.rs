//! Responses.

use super::*;

const API: Api = Api::OpenAiResponses;

fn events(data: &[&str]) -> String {
    let name = |data: &str| {
        let value = crate::meter::json::loose(data.as_bytes()).unwrap();
        value.get("type").unwrap().str().unwrap().into_owned()
    };
    data.iter()
        .map(|data| format!("event: {}\ndata: {data}\n\n", name(data)))
        .collect()
}

fn life(kind: &str, number: u64, rest: &str) -> String {
    format!(
        r#"{{"type":"response.{kind}","sequence_number":{number},"response":{{"id":"resp_1","object":"response","created_at":1700000000,"model":"gpt-4.1","output":[],{rest}}}}}"#
    )
}

const ITEM: &str = r#"{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}}"#;
const CALL: &str = r#"{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"fc_1","type":"function_call","status":"in_progress","call_id":"call_1","name":"get","arguments":""}}"#;
const PART: &str = r#"{"type":"response.content_part.added","sequence_number":3,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","annotations":[],"text":""}}"#;
const HELLO: &str = r#"{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hello","logprobs":[],"obfuscation":"xyz"}"#;
const ARGUMENTS: &str = r#"{"type":"response.function_call_arguments.delta","sequence_number":5,"item_id":"fc_1","output_index":0,"delta":"{\"a\":1}"}"#;
const DONE: &str = r#"{"type":"response.output_text.done","sequence_number":6,"item_id":"msg_1","output_index":0,"content_index":0,"text":"Hello","logprobs":[]}"#;
const ITEM_DONE: &str = r#"{"type":"response.output_item.done","sequence_number":7,"output_index":0,"item":{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"text":"Hello"}]}}"#;
const USAGE: &str = r#""status":"completed","error":null,"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":6},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":7},"total_tokens":123}"#;

fn used() -> Usage {
    Usage::of(30, 80)
        .with(Class::CachedInput, 6)
        .with(Class::Reasoning, 7)
}

#[test]
fn usage_comes_with_the_last_event() {
    let created = life(
        "created",
        0,
        r#""status":"in_progress","error":null,"usage":null"#,
    );
    for (last, failed) in [("completed", false), ("incomplete", false), ("failed", true)] {
        let last = life(last, 8, &USAGE.replace("completed", last));
        let stream = events(&[&created, ITEM, PART, HELLO, DONE, ITEM_DONE, &last]);
        let want = Want {
            exact: Some(used()),
            failed,
            ..Want::default()
        };
        case(&last, setup(API, true), &stream, want);
    }
    let stream = events(&[&created, CALL, ARGUMENTS]);
    let want = Want {
        counted: (10, 2),
        cut: true,
        ..Want::default()
    };
    case("broken off", setup(API, false), &stream, want);
    assert_eq!(
        pass_all(setup(API, false), &stream).model.as_deref(),
        Some("gpt-4.1")
    );
}

#[test]
fn a14_usage_that_is_missing_or_cannot_be_is_counted_instead() {
    for (what, usage, invalid) in [
        ("null", r#""usage":null"#, 0),
        ("negative", r#""usage":{"input_tokens":-1,"output_tokens":-2}"#, 2),
        (
            "none written",
            r#""usage":{"input_tokens":4,"output_tokens":0}"#,
            1,
        ),
    ] {
        let stream = events(&[ITEM, HELLO, &life("completed", 5, usage)]);
        let want = Want {
            counted: (5, 1),
            invalid,
            cut: false,
            ..Want::default()
        };
        case(what, setup(API, false), &stream, want);
    }
}

#[test]
fn items_that_come_in_one_piece_count() {
    for (what, item, bytes) in [
        (
            "encrypted reasoning",
            r#"{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"told before"}],"encrypted_content":"abcd"}"#,
            4,
        ),
        (
            "an image",
            r#"{"id":"ig_1","type":"image_generation_call","result":"iVBORw0KGgo"}"#,
            0,
        ),
        (
            "a shell",
            r#"{"id":"sh_1","type":"shell_call","call_id":"c","action":{"commands":["ls"]}}"#,
            2,
        ),
    ] {
        let stream = events(&[&format!(
            r#"{{"type":"response.output_item.done","sequence_number":7,"output_index":0,"item":{item}}}"#
        )]);
        let want = Want {
            counted: (bytes, u64::from(bytes > 0)),
            cut: true,
            ..Want::default()
        };
        case(what, setup(API, false), &stream, want);
    }
}

#[test]
fn a13_an_error_within_a_stream_passes_and_is_known() {
    let error = r#"{"type":"error","sequence_number":5,"code":"server_error","message":"no","param":null}"#;
    let want = Want {
        counted: (5, 1),
        failed: true,
        cut: true,
        ..Want::default()
    };
    case("error", setup(API, false), &events(&[ITEM, HELLO, error]), want);
}

#[test]
fn whole_responses_are_read() {
    let whole = Setup {
        framing: Framing::Whole,
        ..setup(API, false)
    };
    let answer = |rest: &str| {
        format!(
            r#"{{"id":"resp_1","object":"response","model":"gpt-4.1","output":[{{"type":"message","id":"msg_1","content":[{{"type":"output_text","text":"Hello"}}]}}],{rest}}}"#
        )
    };
    let want = Want {
        exact: Some(used()),
        ..Want::default()
    };
    case("whole", whole, &answer(USAGE), want);
    let failed = answer(r#""status":"failed","error":{"code":"server_error","message":"no"},"usage":null"#);
    let want = Want {
        counted: (5, 1),
        failed: true,
        ..Want::default()
    };
    case("failed", whole, &failed, want);
}
