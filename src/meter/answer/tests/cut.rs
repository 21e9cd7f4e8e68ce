//! Endings at zero. What they say was tried with the official packages.

use super::*;

const REASON: &str = r#"{"code":"insufficient_credits"}"#;

fn why() -> Cut<'static> {
    Cut {
        reason: REASON,
        usage: Usage::of(9, 12)
            .with(Class::CachedInput, 4)
            .with(Class::Reasoning, 3),
        id: "own-1",
        model: "asked-for",
        created: 1_700_000_001,
    }
}

/// What an ending is after this.
fn ending(setup: Setup, stream: &str) -> String {
    let mut meter = Meter::new(setup);
    meter.feed(Bytes::copy_from_slice(stream.as_bytes()));
    while let Step::Pass(_) = meter.next(|_| true) {}
    let end = meter.cut(&why());
    assert_eq!((meter.cut(&why()), meter.held()), (Bytes::new(), 0));
    String::from_utf8(end.to_vec()).unwrap()
}

#[track_caller]
fn case(what: &str, setup: Setup, stream: &str, want: &str) {
    let end = ending(setup, stream);
    assert_eq!(end, want, "{what}");
    // Whatever comes out is a stream that is complete.
    let mut all = Meter::new(setup);
    all.feed(Bytes::from(stream.to_owned() + &end));
    while let Step::Pass(_) = all.next(|_| true) {}
    assert!(all.end().complete, "{what}");
    assert_eq!(all.tally().invalid, 0, "{what}");
}

#[test]
fn a15_chat_completions_end_with_length() {
    let api = Api::OpenAiChat;
    let head = r#"{"id":"c-1","object":"chat.completion.chunk","created":17,"model":"m""#;
    let chunk = |index: u64, finish: &str| {
        sse(&[&format!(
            r#"{head},"choices":[{{"index":{index},"delta":{{"content":"x"}},"finish_reason":{finish}}}]}}"#
        )])
    };
    let end = |head: &str, index: u64, piece: &str| {
        format!(
            r#"{head},"choices":[{{"index":{index},{piece},"logprobs":null,"finish_reason":"length"}}],"faregate":{REASON}}}"#
        )
    };
    let usage = |head: &str| {
        format!(
            r#"{head},"choices":[],"usage":{{"prompt_tokens":13,"completion_tokens":15,"total_tokens":28,"prompt_tokens_details":{{"cached_tokens":4}},"completion_tokens_details":{{"reasoning_tokens":3}}}},"faregate":{REASON}}}"#
        )
    };
    let empty = r#""delta":{}"#;
    let hidden = sse(&[&end(head, 0, empty), "[DONE]"]);
    case("hidden", setup(api, true), &chunk(0, "null"), &hidden);
    case("an empty word", setup(api, true), &chunk(0, "\"\""), &hidden);
    let shown = sse(&[&end(head, 0, empty), &usage(head), "[DONE]"]);
    case("shown", setup(api, false), &chunk(0, "null"), &shown);
    let several = Setup {
        choices: 3,
        keep_words: false,
        ..setup(api, true)
    };
    let first = r#""delta":{"role":"assistant","content":""}"#;
    let stream = chunk(0, "\"stop\"") + &chunk(1, "null");
    let want = sse(&[&end(head, 1, empty), &end(head, 2, first), "[DONE]"]);
    case("several", several, &stream, &want);
    let own = r#"{"id":"own-1","object":"chat.completion.chunk","created":1700000001,"model":"asked-for""#;
    let want = sse(&[&end(own, 0, first), &usage(own), "[DONE]"]);
    case("nothing", setup(api, false), "", &want);
    assert!(Meter::new(setup(api, false)).ends_well());
    // Half an event has not passed.
    assert_eq!(ending(setup(api, false), "data: {\"id\":\"c-1\""), want);
    let stream = chunk(0, "\"stop\"");
    case("before the end", setup(api, true), &stream, "data: [DONE]\n\n");
    case(
        "after the end",
        setup(api, true),
        &(stream + "data: [DONE]\n\n"),
        "",
    );
    let text = r#""text":"""#;
    let own = own.replace("chat.completion.chunk", "text_completion");
    let want = sse(&[&end(&own, 0, text), "[DONE]"]);
    case("completions", setup(Api::OpenAiCompletions, true), "", &want);
}

#[test]
fn a15_messages_end_with_max_tokens() {
    let api = Api::AnthropicMessages;
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
    let block = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
    let close = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n";
    let used = r#""input_tokens":9,"cache_creation_input_tokens":0,"cache_read_input_tokens":4"#;
    let delta = format!(
        "event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"max_tokens\",\"stop_sequence\":null}},\"usage\":{{{used},\"output_tokens\":15}},\"faregate\":{REASON}}}\n\n"
    );
    let stop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    for (what, stream, want) in [
        (
            "in a block",
            [start, block].concat(),
            [close, &delta, stop].concat(),
        ),
        (
            "between blocks",
            [start, block, close].concat(),
            [&delta, stop].concat(),
        ),
        ("before the end", [start, &delta].concat(), stop.to_owned()),
        ("after the end", [start, &delta, stop].concat(), String::new()),
        (
            "nothing",
            String::new(),
            format!(
                "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"own-1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"asked-for\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{{{used},\"output_tokens\":0}}}}}}\n\n{delta}{stop}"
            ),
        ),
    ] {
        case(what, setup(api, false), &stream, &want);
    }
}

#[test]
fn a15_responses_end_incomplete() {
    let api = Api::OpenAiResponses;
    let created = r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":17,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"tools":[],"usage":null}}"#;
    let delta = r#"{"type":"response.output_text.delta","sequence_number":6,"output_index":0,"delta":"Hi"}"#;
    let over = format!(
        r#""status":"incomplete","incomplete_details":{{"reason":"max_output_tokens"}},"error":null,"output":[],"usage":{{"input_tokens":13,"input_tokens_details":{{"cached_tokens":4}},"output_tokens":15,"output_tokens_details":{{"reasoning_tokens":3}},"total_tokens":28}}}},"faregate":{REASON}}}"#
    );
    let want = format!(
        "event: response.incomplete\ndata: {{\"type\":\"response.incomplete\",\"sequence_number\":7,\"response\":{{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":17,\"model\":\"m\",\"tools\":[],{over}\n\n"
    );
    case("begun", setup(api, true), &sse(&[created, delta]), &want);
    let own = r#"{"id":"own-1","object":"response","created_at":1700000001,"model":"asked-for","instructions":null,"metadata":{},"parallel_tool_calls":true,"temperature":null,"tool_choice":"auto","tools":[],"top_p":null,"#;
    let want = format!(
        "event: response.created\ndata: {{\"type\":\"response.created\",\"sequence_number\":0,\"response\":{own}\"status\":\"in_progress\",\"incomplete_details\":null,\"error\":null,\"output\":[],\"usage\":null}}}}\n\nevent: response.incomplete\ndata: {{\"type\":\"response.incomplete\",\"sequence_number\":1,\"response\":{own}{over}\n\n"
    );
    case("nothing", setup(api, true), "", &want);
    let long = created.replace("[],\"usage", &format!("[\"{}\"],\"usage", "x".repeat(10_000)));
    assert!(
        ending(setup(api, true), &sse(&[&long]))
            .contains(r#"{"id":"resp_1","object":"response","created_at":17,"model":"m","instructions""#)
    );
}

#[test]
fn a15_ollama_ends_with_length() {
    let lines = |api| Setup {
        framing: Framing::Lines,
        ..setup(api, false)
    };
    let end = format!(
        "\"done\":true,\"done_reason\":\"length\",\"prompt_eval_count\":13,\"eval_count\":15,\"faregate\":{REASON}}}\n"
    );
    let begun = "{\"model\":\"m\",\"created_at\":\"2026\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":false}\n";
    let message = r#""message":{"role":"assistant","content":""},"#;
    let want = format!("{{\"model\":\"m\",\"created_at\":\"2026\",{message}{end}");
    case("chat", lines(Api::OllamaChat), begun, &want);
    let want = format!("{{\"model\":\"asked-for\",\"response\":\"\",{end}");
    case("generate", lines(Api::OllamaGenerate), "", &want);
}

#[test]
fn what_is_one_json_text_has_no_ending() {
    for api in [Api::OpenAiChat, Api::OpenAiEmbeddings, Api::OllamaChat] {
        let whole = Setup {
            framing: Framing::Whole,
            ..setup(api, false)
        };
        assert_eq!(ending(whole, "{\"id\":"), "");
        assert!(!Meter::new(whole).ends_well());
    }
}

#[test]
fn an_event_that_is_too_long_is_closed_first() {
    let mut meter = Meter::new(setup(Api::OpenAiChat, true));
    meter.feed(Bytes::from("x".repeat(EVENT_MAX + 1)));
    assert!(matches!(meter.next(|_| true), Step::Pass(_)));
    let end = meter.cut(&why());
    assert!(end.starts_with(b"\n\ndata: {") && end.ends_with(b"data: [DONE]\n\n"));
}
