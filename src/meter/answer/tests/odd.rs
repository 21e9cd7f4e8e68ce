//! Events that are not quite JSON, and answers that are not what they call themselves.

use super::*;

const API: Api = Api::OpenAiChat;

fn delta(text: &str, rest: &str) -> String {
    format!(r#"{{"id":"c1","choices":[{{"index":0,"delta":{{"content":"{text}"}}{rest}}}]}}"#)
}

const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#;

#[test]
fn numbers_that_only_some_parsers_take_hide_nothing() {
    let logprobs =
        r#","logprobs":{"content":[{"token":"hi","logprob":-Infinity,"top_logprobs":[{"logprob":NaN}]}]}"#;
    let event = delta("hi", logprobs);
    let want = Want {
        counted: (4, 2),
        ..Want::default()
    };
    let stream = sse(&[&event, &event, r#"{"created":NaN,"choices":[]}"#, "[DONE]"]);
    case("without usage", setup(API, true), &stream, want);
    let stream = sse(&[
        &event.replace(r#"{"id""#, r#"{"usage":null,"id""#),
        USAGE,
        "[DONE]",
    ]);
    let out = sse(&[&event, "[DONE]"]);
    let want = Want {
        exact: Some(Usage::of(9, 2)),
        out: Some(&out),
        ..Want::default()
    };
    case("with usage", setup(API, true), &stream, want);
}

#[test]
fn bytes_that_are_no_text_count_as_so_many_and_hide_nothing() {
    // A character of four bytes, which a server sends in two events as it writes them.
    let events: [&[u8]; 2] = [b"\xf0\x9f", b"\x98\x80"];
    let event = |bytes: &[u8], usage: &str| {
        let event = sse(&[&delta("@", "")]).replace(r#"{"id""#, &format!(r#"{{{usage}"id""#));
        let (before, after) = event.split_once('@').unwrap();
        [before.as_bytes(), bytes, after.as_bytes()].concat()
    };
    for hide in [false, true] {
        let part = if hide { r#""usage":null,"# } else { "" };
        let mut stream = events.map(|bytes| event(bytes, part)).concat();
        stream.extend_from_slice(sse(&["[DONE]"]).as_bytes());
        let mut out = events.map(|bytes| event(bytes, "")).concat();
        out.extend_from_slice(sse(&["[DONE]"]).as_bytes());
        for size in [1, 2, 7, 50, stream.len()] {
            let frames: Vec<&[u8]> = stream.chunks(size).collect();
            let mut meter = Meter::new(Setup {
                keep_words: true,
                ..setup(API, hide)
            });
            meter.allow_words(WORDS_MAX);
            let mut passed = Vec::new();
            for frame in frames {
                meter.feed(Bytes::copy_from_slice(frame));
                while let Step::Pass(bytes) = meter.next(|_| true) {
                    passed.extend_from_slice(&bytes);
                }
            }
            assert_eq!(passed, out);
            let tally = meter.tally();
            assert_eq!(
                (tally.counted, tally.invalid),
                (Counted { bytes: 4, events: 2 }, 0)
            );
            // No tokenizer is asked what they are.
            assert_eq!(meter.take_words().unwrap().tokens(|_| 0), 4);
        }
    }
}

#[test]
fn a13_what_no_parser_takes_is_looked_through() {
    let control = "a\u{1}b";
    for (what, api, event, bytes) in [
        ("a control character", API, delta(control, ""), 3),
        ("a comma too many", API, delta("hi", "").replace("]}", "],}"), 2),
        (
            "a call",
            API,
            delta(
                control,
                r#","message":{"tool_calls":[{"id":"x","function":{"name":"get"}}]}"#,
            ),
            6,
        ),
        // What is not where text is looked for counts whole.
        ("in another member", API, r#"{"answer":"hi",}"#.to_owned(), 16),
        (
            "not over",
            API,
            r#"{"choices":[{"delta":{"content":"hi"}}],"#.to_owned(),
            40,
        ),
        ("no object", API, "hello".to_owned(), 5),
        (
            "a delta of Anthropic's",
            Api::AnthropicMessages,
            r#"{"type":"content_block_delta","delta":{"text":"hi"},}"#.to_owned(),
            53,
        ),
        (
            "Ollama's",
            Api::OllamaChat,
            r#"{"message":{"role":"assistant","content":"hi"},}"#.to_owned(),
            2,
        ),
    ] {
        let want = Want {
            counted: (bytes, 1),
            invalid: 1,
            cut: true,
            ..Want::default()
        };
        case(what, setup(api, true), &sse(&[&event]), want);
    }
    let broken = USAGE.replace("}}", "},}");
    let want = Want {
        exact: Some(Usage::of(9, 2)),
        invalid: 1,
        cut: true,
        ..Want::default()
    };
    case(
        "usage",
        setup(API, true),
        &sse(&[&delta("hi", ""), &broken]),
        want,
    );
    let start = r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":7},},}"#;
    let tally = pass_all(setup(Api::AnthropicMessages, false), &sse(&[start])).tally;
    assert_eq!(
        (tally.usage, tally.input_reported, tally.delivered.bytes),
        (Usage::of(7, 0), true, 0)
    );
    let failed = r#"{"error":{"message":"no"},}"#;
    let tally = pass_all(setup(API, false), &sse(&[failed])).tally;
    assert!(tally.failed && tally.delivered.is_empty());
}

const ANSWER: &str =
    r#"{"id":"c1","model":"m","choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}]}"#;

#[test]
fn one_text_that_calls_itself_a_stream_is_read_all_the_same() {
    let used = r#","usage":{"prompt_tokens":9,"completion_tokens":2}}"#;
    let with_usage = format!("{}{used}", ANSWER.strip_suffix('}').unwrap());
    let pretty = with_usage.replace(",\"", ",\n  \"").replace('{', "{\n");
    let lines = [delta("Hello", ""), delta("you", ""), USAGE.to_owned()].join("\n");
    for (what, stream, cut) in [
        ("one line", with_usage.clone(), false),
        ("with a blank line", format!("{with_usage}\r\n\r\n"), false),
        ("many lines", pretty, false),
        ("a text on each line", lines.clone(), true),
        ("and a blank line", format!("{lines}\n\n"), true),
    ] {
        let passed = pass_all(setup(API, false), &stream);
        assert_eq!(
            (&passed.out, passed.tally.exact()),
            (&stream, Some(Usage::of(9, 2))),
            "{what}"
        );
        assert_eq!(passed.complete, !cut, "{what}");
    }
    let out = format!("{ANSWER}\n\n");
    let want = Want {
        exact: Some(Usage::of(9, 2)),
        out: Some(&out),
        ..Want::default()
    };
    case("hidden", setup(API, true), &format!("{with_usage}\n\n"), want);
    let want = Want {
        counted: (5, 1),
        ..Want::default()
    };
    case("without usage", setup(API, true), ANSWER, want);
}

#[test]
fn lines_that_no_stream_has_count_by_their_bytes() {
    for (stream, bytes, events) in [
        ("Hello you\n\n", 9, 1),
        ("event: x\nHello: you\n\n", 19, 1),
        ("DATA: {}\n\n: ping\n\nHello", 13, 2),
        ("event: x\nid: 1\nretry: 5\n: data\n\n\n\ndata:\n\n", 0, 0),
        // Beside data, clients pass over them.
        (
            "x: y\ndata: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n",
            2,
            1,
        ),
    ] {
        let tally = pass_all(setup(API, false), stream).tally;
        let invalid = if bytes > 2 { events } else { 0 };
        assert_eq!(tally.counted, Counted { bytes, events }, "{stream}");
        assert_eq!(u64::from(tally.invalid), invalid, "{stream}");
    }
}

#[test]
fn one_text_in_which_nothing_is_found_counts_by_its_bytes() {
    let whole = |api| Setup {
        framing: Framing::Whole,
        ..setup(api, false)
    };
    for (api, text, bytes) in [
        (API, "Hello \"you\", {said} [she]", 25),
        (API, r#"[{"generated_text":"Hello"}]"#, 28),
        (API, r#"{"answer":"Hello","usage":null}"#, 31),
        (API, r#"{"answer":"Hello","usage":{"prompt_tokens":9}}"#, 46),
        (API, ANSWER, 5),
        (API, r#"{"choices":[]}"#, 0),
        (API, "", 0),
        (API, r#"{"error":{"message":"no"}}"#, 0),
        (API, USAGE, 0),
        (Api::OpenAiEmbeddings, r#"{"data":[{"embedding":[0.1]}]}"#, 0),
        (
            Api::OllamaChat,
            r#"{"model":"m","message":{"content":""},"done":true}"#,
            0,
        ),
    ] {
        let tally = pass_all(whole(api), text).tally;
        let events = u64::from(bytes > 0);
        assert_eq!(tally.counted, Counted { bytes, events }, "{text}");
        let invalid = u32::from(bytes > 5);
        assert_eq!(tally.invalid, invalid, "{text}");
    }
}
