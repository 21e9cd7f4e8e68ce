//! Chat completions and completions.

use super::*;

const API: Api = Api::OpenAiChat;

fn chunk(rest: &str) -> String {
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_1",{rest}}}"#
    )
}

fn delta(content: &str, rest: &str) -> String {
    chunk(&format!(
        r#""choices":[{{"index":0,"delta":{{"content":"{content}"}},"logprobs":null,"finish_reason":null}}]{rest}"#
    ))
}

fn finish(rest: &str) -> String {
    chunk(&format!(
        r#""choices":[{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"stop"}}]{rest}"#
    ))
}

fn usage(rest: &str) -> String {
    chunk(&format!(r#""choices":[],"usage":{rest}"#))
}

const USAGE: &str = r#"{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":5,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#;

fn used() -> Usage {
    Usage::of(5, 7)
        .with(Class::CachedInput, 4)
        .with(Class::Reasoning, 5)
}

#[test]
fn usage_that_was_asked_for_passes_untouched() {
    let stream = sse(&[
        &chunk(
            r#""choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null"#,
        ),
        &delta("Hello", r#","usage":null,"obfuscation":"x9d""#),
        &delta(" \\u4e16\\n", r#","usage":null"#),
        &finish(r#","usage":null"#),
        &usage(USAGE),
        "[DONE]",
    ]);
    let want = Want {
        exact: Some(used()),
        ..Want::default()
    };
    case("asked for", setup(API, false), &stream, want);
    let passed = pass_all(setup(API, false), &stream);
    assert_eq!(passed.model.as_deref(), Some("gpt-4o-mini-2024-07-18"));
    assert_eq!(passed.tally.delivered, Counted { bytes: 10, events: 2 });
}

#[test]
fn p11_usage_that_was_not_asked_for_is_read_and_hidden() {
    let with = |null: &str| [delta("Hello", null), delta(" world", null), finish(null)];
    let [a, b, c] = with(r#","usage":null"#);
    let stream = sse(&[&a, &b, &c, &usage(USAGE), "[DONE]"]);
    let [a, b, c] = with("");
    let out = sse(&[&a, &b, &c, "[DONE]"]);
    let want = Want {
        exact: Some(used()),
        out: Some(&out),
        ..Want::default()
    };
    case("OpenAI", setup(API, true), &stream, want);

    // vLLM with continuous_usage_stats.
    let so_far = |tokens: u64| {
        format!(
            r#","usage":{{"prompt_tokens":7,"total_tokens":{},"completion_tokens":{tokens}}}"#,
            7 + tokens
        )
    };
    let vllm = [
        delta("Hello", &so_far(1)),
        delta(" world", &so_far(2)),
        finish(&so_far(3)),
    ];
    let last = usage(r#"{"prompt_tokens":7,"total_tokens":10,"completion_tokens":3}"#);
    let stream = sse(&[&vllm[0], &vllm[1], &vllm[2], &last, "[DONE]"]);
    let want = Want {
        exact: Some(Usage::of(7, 3)),
        out: Some(&out),
        ..Want::default()
    };
    case("vLLM", setup(API, true), &stream, want);
    let cut = sse(&[&vllm[0], &vllm[1]]);
    let out = sse(&[&a, &b]);
    let want = Want {
        exact: Some(Usage::of(7, 2)),
        cut: true,
        out: Some(&out),
        ..Want::default()
    };
    case("vLLM, cut", setup(API, true), &cut, want);
}

#[test]
fn p11_an_event_of_nothing_but_usage_goes_whatever_its_choices_are() {
    let last = |choices: &str| format!(r#"{{"id":"c1"{choices},"usage":{USAGE}}}"#);
    for choices in ["", r#","choices":null"#, r#","choices":[]"#] {
        let stream = sse(&[&delta("Hi", ""), &last(choices), "[DONE]"]);
        let out = sse(&[&delta("Hi", ""), "[DONE]"]);
        let want = Want {
            exact: Some(used()),
            out: Some(&out),
            ..Want::default()
        };
        case(choices, setup(API, true), &stream, want);
    }
}

#[test]
fn p11_usage_that_was_asked_for_at_the_end_is_shown_there_alone() {
    let stream = sse(&[
        &delta("Hi", &format!(r#","usage":{USAGE}"#)),
        &usage(USAGE),
        "[DONE]",
    ]);
    let out = sse(&[&delta("Hi", ""), &usage(USAGE), "[DONE]"]);
    let want = Want {
        exact: Some(used()),
        out: Some(&out),
        ..Want::default()
    };
    let setup = Setup {
        shown: Shown::Last,
        ..setup(API, true)
    };
    case("vLLM", setup, &stream, want);
}

#[test]
fn other_lines_of_a_hidden_event_go_with_it_and_those_of_others_stay() {
    let stream = format!(
        ": ping\r\n\r\nid: 1\r\ndata: {}\r\n\r\nevent: x\r\nid: 2\r\ndata: {}\r\n\r\ndata: [DONE]\r\n\r\n",
        delta("Hi", r#","usage" : null , "x":1"#),
        usage(USAGE)
    );
    let out = format!(
        ": ping\r\n\r\nid: 1\r\ndata: {}\r\n\r\ndata: [DONE]\r\n\r\n",
        delta("Hi", r#" , "x":1"#)
    );
    let want = Want {
        exact: Some(used()),
        out: Some(&out),
        ..Want::default()
    };
    case("CRLF", setup(API, true), &stream, want);

    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\ndata: \"usage\":null}\n\n";
    let out = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let want = Want {
        counted: (2, 1),
        cut: true,
        out: Some(out),
        ..Want::default()
    };
    case("several lines", setup(API, true), stream, want);
}

#[test]
fn a14_usage_that_cannot_be_is_counted_instead() {
    for (what, last, invalid) in [
        (
            "zero",
            r#"{"prompt_tokens":9,"completion_tokens":0,"total_tokens":9}"#,
            1,
        ),
        (
            "negative",
            r#"{"prompt_tokens":9,"completion_tokens":-5,"total_tokens":4}"#,
            1,
        ),
        ("fractional", r#"{"prompt_tokens":9,"completion_tokens":12.5}"#, 1),
        ("a string", r#"{"prompt_tokens":9,"completion_tokens":"12"}"#, 1),
        (
            "huge",
            r#"{"prompt_tokens":9,"completion_tokens":99999999999999999999}"#,
            1,
        ),
        ("null", r#"{"prompt_tokens":9,"completion_tokens":null}"#, 0),
        ("absent", r#"{"prompt_tokens":9}"#, 0),
        ("a text", r#""12 tokens""#, 1),
    ] {
        let stream = sse(&[
            &delta("Hello", ""),
            &delta(" world", ""),
            &finish(""),
            &usage(last),
            "[DONE]",
        ]);
        let want = Want {
            counted: (11, 2),
            invalid,
            ..Want::default()
        };
        case(what, setup(API, false), &stream, want);
    }
}

#[test]
fn a14_usage_early_twice_and_missing() {
    let early = format!(
        r#","usage":{}"#,
        r#"{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}"#
    );
    let stream = sse(&[
        &delta("Hello", &early),
        &delta(" world", ""),
        &finish(""),
        "[DONE]",
    ]);
    let want = Want {
        counted: (6, 1),
        ..Want::default()
    };
    case("early", setup(API, false), &stream, want);

    let stream = sse(&[
        &delta("Hello", ""),
        &usage(r#"{"prompt_tokens":9,"completion_tokens":3}"#),
        &usage(USAGE),
        &usage(r#"{"prompt_tokens":-9,"completion_tokens":-3}"#),
        "[DONE]",
    ]);
    let want = Want {
        exact: Some(used()),
        invalid: 2,
        ..Want::default()
    };
    case("twice", setup(API, false), &stream, want);

    // llama-cpp-python says nothing, though it was asked.
    let stream = sse(&[&delta("Hello", ""), &delta(" world", ""), &finish(""), "[DONE]"]);
    let want = Want {
        counted: (11, 2),
        ..Want::default()
    };
    case("missing", setup(API, true), &stream, want);
}

#[test]
fn servers_that_say_it_elsewhere() {
    // llama.cpp's server: timings with the last choice.
    let timings =
        r#","timings":{"cache_n":5,"prompt_n":9,"prompt_ms":1.5,"predicted_n":3,"predicted_per_second":2.0}"#;
    let stream = sse(&[&delta("Hello", ""), &finish(timings), "[DONE]"]);
    let want = Want {
        exact: Some(Usage::of(9, 3).with(Class::CachedInput, 5)),
        ..Want::default()
    };
    case("llama.cpp", setup(API, true), &stream, want);
    // An older one, that does not say what it had cached: what was read is unknown.
    let stream = sse(&[
        &delta("Hello", ""),
        &finish(r#","timings":{"prompt_n":1,"predicted_n":3}"#),
        "[DONE]",
    ]);
    case("older llama.cpp", setup(API, true), &stream, Want::default());
    let both = format!(r#"{},"usage":{USAGE}"#, timings);
    let stream = sse(&[&delta("Hello", ""), &finish(&both), "[DONE]"]);
    let want = Want {
        exact: Some(used()),
        ..Want::default()
    };
    case("both", setup(API, false), &stream, want);
    for (what, last) in [
        (
            "TGI",
            usage(r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}"#),
        ),
        (
            "SGLang",
            usage(
                r#"{"prompt_tokens":5,"total_tokens":7,"completion_tokens":2,"prompt_tokens_details":null,"reasoning_tokens":0}"#,
            ),
        ),
        (
            "Groq",
            finish(
                r#","x_groq":{"id":"req_1","usage":{"queue_time":0.1,"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#,
            ),
        ),
        (
            "Moonshot",
            chunk(
                r#""choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}]"#,
            ),
        ),
    ] {
        let stream = sse(&[&delta("Hello", ""), &finish(""), &last, "[DONE]"]);
        let want = Want {
            exact: Some(Usage::of(5, 2)),
            ..Want::default()
        };
        case(what, setup(API, false), &stream, want);
    }
}

#[test]
fn all_that_the_model_writes_is_text() {
    for (what, delta, bytes) in [
        ("refusal", r#"{"refusal":"no."}"#, 3),
        ("reasoning", r#"{"reasoning_content":"hm","reasoning":"so"}"#, 4),
        (
            "a call",
            r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"get","arguments":"{\"a\":"}}]}"#,
            8,
        ),
        (
            "an older call",
            r#"{"function_call":{"name":"get","arguments":"{}"}}"#,
            5,
        ),
        ("nothing", r#"{"role":"assistant","content":null}"#, 0),
        (
            "sound",
            r#"{"audio":{"id":"audio_1","data":"AAAAAAAAAAAAAAAA","transcript":"Hi"}}"#,
            3,
        ),
    ] {
        let stream = sse(&[&chunk(&format!(r#""choices":[{{"index":0,"delta":{delta}}}]"#))]);
        let want = Want {
            counted: (bytes, u64::from(bytes > 0)),
            cut: true,
            ..Want::default()
        };
        case(what, setup(API, false), &stream, want);
    }
    let stream = sse(&[
        r#"{"id":"cmpl-1","object":"text_completion","choices":[{"text":"Hi","index":0,"logprobs":null,"finish_reason":"length"}]}"#,
    ]);
    let want = Want {
        counted: (2, 1),
        ..Want::default()
    };
    case("completions", setup(Api::OpenAiCompletions, false), &stream, want);
}

#[test]
fn a13_an_error_within_a_stream_passes_and_is_known() {
    let error = r#"{"error":{"message":"CUDA error","type":"InternalServerError","code":500}}"#;
    for stream in [
        sse(&[&delta("Hello", ""), error, "[DONE]"]),
        sse(&[
            &delta("Hello", ""),
            r#"{"object":"error","message":"no","type":"BadRequestError","code":400}"#,
            "[DONE]",
        ]),
        format!(
            "{}event: error\n{}{}",
            sse(&[&delta("Hello", "")]),
            sse(&[error]),
            sse(&["[DONE]"])
        ),
    ] {
        let want = Want {
            counted: (5, 1),
            failed: true,
            ..Want::default()
        };
        case("error", setup(API, true), &stream, want);
    }
}

#[test]
fn a13_a_broken_event_counts_with_all_its_bytes() {
    let want = Want {
        counted: (17, 1),
        invalid: 1,
        cut: true,
        ..Want::default()
    };
    case("broken", setup(API, true), "data: {\"choices\":[{\"del\n\n", want);
    let want = Want {
        counted: (17, 1),
        invalid: 1,
        cut: true,
        ..Want::default()
    };
    case("broken off", setup(API, true), "data: {\"choices\":[{\"del", want);
}

#[test]
fn several_choices_are_told_apart() {
    let of = |index: u64, finish: &str| {
        chunk(&format!(
            r#""choices":[{{"index":{index},"delta":{{"content":"x"}},"finish_reason":{finish}}}]"#
        ))
    };
    let stream = sse(&[&of(0, "null"), &of(1, "null"), &of(0, "\"stop\"")]);
    let passed = pass_all(setup(API, false), &stream);
    assert_eq!((passed.complete, passed.tally.delivered.events), (false, 3));
    let passed = pass_all(setup(API, false), &(stream + &sse(&[&of(1, "\"length\"")])));
    assert!(passed.complete);
}

#[test]
fn whole_answers_are_read() {
    let whole = Setup {
        framing: Framing::Whole,
        ..setup(API, false)
    };
    let answer = |usage: &str| {
        format!(
            "{{\n  \"id\": \"chatcmpl-1\",\n  \"object\": \"chat.completion\",\n  \"model\": \"m\",\n  \"choices\": [{{\"index\": 0, \"message\": {{\"role\": \"assistant\", \"content\": \"\\u4e16 usage\"}}, \"finish_reason\": \"stop\"}}]{usage}\n}}\n"
        )
    };
    let want = Want {
        exact: Some(used()),
        ..Want::default()
    };
    case("whole", whole, &answer(&format!(",\n  \"usage\": {USAGE}")), want);
    let want = Want {
        counted: (9, 1),
        ..Want::default()
    };
    case("without usage", whole, &answer(""), want);
    let want = Want {
        failed: true,
        ..Want::default()
    };
    case("an error", whole, r#"{"error":{"message":"no"}}"#, want);
    let want = Want {
        counted: (6, 1),
        invalid: 1,
        cut: true,
        ..Want::default()
    };
    case("broken off", whole, "{\"id\":", want);
    assert_eq!(pass_all(whole, &answer("")).model.as_deref(), Some("m"));
}

#[test]
fn a13_a_stream_that_is_cut_at_any_byte_is_known_up_to_there() {
    let stream = sse(&[
        &delta("Hello", ""),
        &delta(" world", ""),
        &finish(""),
        &usage(USAGE),
        "[DONE]",
    ]);
    let mut before = Counted::default();
    for end in 0..=stream.len() {
        let part = stream.get(..end).unwrap();
        let passed = pass(setup(API, false), &[part.as_bytes()]);
        assert_eq!(passed.out, part);
        // Half an event counts as text; a finished choice makes the answer complete.
        let whole = part.rfind("\n\n").map_or(0, |at| at + 2);
        let tally = pass(setup(API, false), &[&part.as_bytes()[..whole]]).tally;
        assert!(tally.delivered.bytes >= before.bytes && tally.delivered.bytes <= 11);
        before = tally.delivered;
        let over = part.contains("\"stop\"") && whole > stream.find("\"stop\"").unwrap();
        assert!(passed.complete || !over, "{part}");
        assert_eq!(
            tally.exact().is_some(),
            part.contains(USAGE) && whole > stream.find(USAGE).unwrap()
        );
    }
}

#[test]
fn events_that_call_themselves_one_text_are_read_all_the_same() {
    let wrong = Setup {
        framing: Framing::Whole,
        ..setup(API, true)
    };
    let stream = sse(&[
        &delta("Hello", ""),
        &delta(" world", ""),
        &finish(""),
        &usage(USAGE),
        "[DONE]",
    ]);
    let passed = pass_all(wrong, &stream);
    assert_eq!((passed.out, passed.tally.exact()), (stream, Some(used())));
    assert_eq!(passed.tally.delivered.bytes, 11);
}

#[test]
fn a14_what_an_event_says_of_one_of_several_answers_is_not_taken_for_all() {
    let setup = Setup {
        choices: 2,
        keep_words: false,
        ..setup(API, false)
    };
    let of_one = r#","usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}"#;
    let first = delta("Hello", of_one);
    let second = first.replace(r#"[{"index":0"#, r#"[{"index":1"#);
    let want = Want {
        counted: (10, 2),
        cut: true,
        ..Want::default()
    };
    case("of one", setup, &sse(&[&first, &second]), want);
    let want = Want {
        exact: Some(used()),
        ..Want::default()
    };
    case(
        "of all",
        setup,
        &sse(&[&first, &second, &usage(USAGE), "[DONE]"]),
        want,
    );
}

#[test]
fn what_comes_with_the_last_of_several_choices_is_of_all() {
    let setup = Setup {
        choices: 2,
        ..setup(API, false)
    };
    let of = |index: u64, finish: &str, usage: &str, rest: &str| {
        let choice =
            format!(r#"{{"index":{index},"delta":{{"content":"Hello"}},"finish_reason":{finish}{usage}}}"#);
        chunk(&format!(r#""choices":[{choice}]{rest}"#))
    };
    let usage = format!(r#","usage":{USAGE}"#);
    let groq = format!(r#","x_groq":{{"usage":{USAGE}}}"#);
    let timings = r#","timings":{"prompt_n":9,"cache_n":0,"predicted_n":12}"#;
    let [first, second] = [0, 1].map(|index| of(index, "null", "", ""));
    for (what, last, before, exact) in [
        (
            "Mistral's place",
            of(1, "\"stop\"", "", &usage),
            of(0, "\"stop\"", "", ""),
            true,
        ),
        (
            "Groq's place",
            of(1, "\"length\"", "", &groq),
            of(0, "\"stop\"", "", ""),
            true,
        ),
        (
            "one is not over",
            of(1, "\"stop\"", "", &usage),
            of(0, "null", "", ""),
            false,
        ),
        (
            "one each",
            of(1, "\"stop\"", "", &usage),
            of(0, "\"stop\"", "", &usage),
            false,
        ),
        (
            "within the choice",
            of(1, "\"stop\"", &usage, ""),
            of(0, "\"stop\"", "", ""),
            false,
        ),
        (
            "by llama.cpp's slots",
            of(1, "\"stop\"", "", timings),
            of(0, "\"stop\"", "", ""),
            false,
        ),
    ] {
        let stream = sse(&[&first, &second, &before, &last, "[DONE]"]);
        let want = Want {
            exact: exact.then(used),
            counted: if exact { (0, 0) } else { (20, 4) },
            ..Want::default()
        };
        case(what, setup, &stream, want);
    }
    // Of what is only looked through, nobody knows which choice it is of.
    let broken = of(1, "\"stop\"", "", &usage).replace("}]", "},]");
    let tally = pass_all(setup, &sse(&[&first, &broken])).tally;
    assert!(!tally.output_reported && tally.counted.bytes == 10, "{tally:?}");
}
