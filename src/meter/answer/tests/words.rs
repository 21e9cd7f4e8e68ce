//! The words that are kept for a tokenizer, of every API.

use super::*;

/// What is kept of a stream, part by part, and what it counts as where every letter but the names of calls is kept.
fn kept(api: Api, framing: Framing, stream: &str) -> (Vec<String>, Tally) {
    let setup = Setup {
        framing,
        keep_words: true,
        ..setup(api, false)
    };
    let mut meter = Meter::new(setup);
    meter.allow_words(WORDS_MAX);
    meter.feed(Bytes::copy_from_slice(stream.as_bytes()));
    while let Step::Pass(_) = meter.next(|_| true) {}
    let tally = meter.tally();
    let words = meter.take_words().unwrap();
    let mut parts: Vec<String> = words.parts().map(str::to_owned).collect();
    parts.sort_unstable();
    (parts, tally)
}

#[test]
fn words_are_put_together_part_by_part() {
    let chat = sse(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning_content":"Hm"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"Y"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"Hel"}}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"o"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"lo"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"get","arguments":"{\"a\""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}"#,
    ]);
    let messages = sse(&[
        r#"{"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hel"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"lo"}}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t1","name":"get","input":{}}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}"#,
        r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":":1}"}}"#,
    ]);
    let responses = sse(&[
        r#"{"type":"response.reasoning_text.delta","output_index":0,"delta":"Hm"}"#,
        r#"{"type":"response.output_text.delta","output_index":1,"delta":"Hel"}"#,
        r#"{"type":"response.output_text.delta","output_index":1,"delta":"lo"}"#,
        r#"{"type":"response.output_item.added","output_index":2,"item":{"type":"function_call","call_id":"c1","name":"get","arguments":""}}"#,
        r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":"{\"a\""}"#,
        r#"{"type":"response.function_call_arguments.delta","output_index":2,"delta":":1}"}"#,
    ]);
    let ollama = concat!(
        r#"{"message":{"role":"assistant","content":"","thinking":"Hm"},"done":false}"#,
        "\n",
        r#"{"message":{"role":"assistant","content":"Hel"},"done":false}"#,
        "\n",
        r#"{"message":{"role":"assistant","content":"lo"},"done":false}"#,
        "\n",
        r#"{"message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"get","arguments":{"a":1}}}]},"done":false}"#,
        "\n",
    );
    let generate = "{\"response\":\"Hel\",\"thinking\":\"Hm\"}\n{\"response\":\"lo\"}\n";
    let completions = sse(&[
        r#"{"choices":[{"index":0,"text":"Hel"}]}"#,
        r#"{"choices":[{"index":1,"text":"Yo"}]}"#,
        r#"{"choices":[{"index":0,"text":"lo"}]}"#,
    ]);
    let call = r#"{"a":1}"#;
    for (api, framing, stream, parts, besides) in [
        (
            Api::OpenAiChat,
            Framing::Sse,
            chat.as_str(),
            &["Hello", "Hm", "Yo", call][..],
            3,
        ),
        (
            Api::AnthropicMessages,
            Framing::Sse,
            &messages,
            &["Hello", "Hm", call],
            3,
        ),
        (
            Api::OpenAiResponses,
            Framing::Sse,
            &responses,
            &["Hello", "Hm", call],
            3,
        ),
        // Calls come whole, and count as they are written.
        (Api::OllamaChat, Framing::Lines, ollama, &["Hello", "Hm"], 49),
        (Api::OllamaGenerate, Framing::Lines, generate, &["Hello", "Hm"], 0),
        (
            Api::OpenAiCompletions,
            Framing::Sse,
            &completions,
            &["Hello", "Yo"],
            0,
        ),
    ] {
        let mut wanted = parts.to_vec();
        wanted.sort_unstable();
        let (found, tally) = kept(api, framing, stream);
        assert_eq!(found, wanted, "{api:?}");
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        assert_eq!(tally.counted.bytes, bytes as u64 + besides, "{api:?}");
    }
}

#[test]
fn words_before_a_report_are_forgotten() {
    let usage = r#""usage":{"prompt_tokens":3,"completion_tokens":2}"#;
    let stream = sse(&[
        r#"{"choices":[{"index":0,"delta":{"content":"Hel"}}]}"#,
        &format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"lo"}}}}],{usage}}}"#),
        r#"{"choices":[{"index":0,"delta":{"content":" you"}}]}"#,
    ]);
    let (words, tally) = kept(Api::OpenAiChat, Framing::Sse, &stream);
    assert_eq!((words, tally.counted.bytes), (vec![" you".to_owned()], 4));
}

#[test]
fn whole_answers_have_words_too() {
    let chat = r#"{"id":"c1","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Hello","reasoning_content":"Hm"}},{"index":1,"message":{"content":"Yo"}}]}"#;
    let message =
        r#"{"type":"message","content":[{"type":"text","text":"Hello"},{"type":"text","text":"you"}]}"#;
    for (api, body, parts) in [
        (Api::OpenAiChat, chat, &["Hello", "Hm", "Yo"][..]),
        (Api::AnthropicMessages, message, &["Hello", "you"]),
    ] {
        let setup = Setup {
            framing: Framing::Whole,
            ..setup(api, false)
        };
        let passed = pass_all(setup, body);
        let words = Words::of_whole(api, body.as_bytes(), passed.tally.counted).unwrap();
        let mut found: Vec<&str> = words.parts().collect();
        found.sort_unstable();
        assert_eq!(found, parts);
        assert_eq!(words.tokens(|text| text.len() as u64), passed.tally.counted.bytes);
    }
    assert_eq!(
        Words::of_whole(Api::OpenAiChat, b"no JSON", Counted::default()),
        None
    );
}
