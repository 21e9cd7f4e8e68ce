//! One table of cases per API; then what holds for all of them.

mod anthropic;
mod chat;
mod completions;
mod edits;
mod ollama;
mod responses;

use std::fmt::Write;

use super::*;

const ALL: [Api; 7] = [
    Api::OpenAiChat,
    Api::OpenAiCompletions,
    Api::OpenAiEmbeddings,
    Api::OpenAiResponses,
    Api::AnthropicMessages,
    Api::OllamaChat,
    Api::OllamaGenerate,
];

fn sent(api: Api, body: &str) -> Result<Asked, String> {
    read(api, body.as_bytes(), &[""; 0]).map_err(|problem| problem.to_string())
}

/// What a body asks for, without what is as it mostly is.
fn said(asked: &Asked) -> String {
    let mut said = asked.model.clone().unwrap_or_default();
    let mut say = |name: &str, value: u64, usual: u64| {
        if value != usual {
            write!(said, " {name}={value}").unwrap();
        }
    };
    say("stream", asked.stream.into(), 0);
    say("max", asked.output_max.unwrap_or(0), 0);
    say("least", asked.least_output, 1);
    say("choices", asked.choices, 1);
    say("tools", asked.tools, 0);
    say("images", asked.images, 0);
    say("audios", asked.audios, 0);
    say("documents", asked.documents, 0);
    say("writes_cache", asked.writes_cache.into(), 0);
    say("usage", asked.usage.into(), 0);
    say("continuous", asked.continuous_usage.into(), 0);
    say("times", asked.input_times, 1);
    said
}

/// Bodies, what they ask for, and how much of them is no text.
#[track_caller]
fn are_read(api: Api, cases: &[(&str, &str, u64)]) {
    for (body, wanted, apart) in cases {
        let asked = sent(api, body).unwrap_or_else(|problem| panic!("{body}\n{problem}"));
        assert_eq!(said(&asked), *wanted, "{body}");
        let text = body.len() as u64 - apart;
        // A tool may be written anew.
        let counted = if asked.tools == 0 {
            asked.text == text
        } else {
            asked.text > text
        };
        assert!(counted, "{body}: {} for {text}", asked.text);
    }
}

/// Bodies, and what is said of them, in part.
#[track_caller]
fn are_refused(api: Api, cases: &[(&str, &str)]) {
    for (body, wanted) in cases {
        match sent(api, body) {
            Ok(asked) => panic!("{body}\nis taken: {}", said(&asked)),
            Err(problem) => assert!(problem.contains(wanted), "{body}\n{problem}"),
        }
    }
}

/// Bodies with one member more each: its name in what allows it, the member, and what is said without that.
#[track_caller]
fn are_refused_unless_allowed(api: Api, body: &str, cases: &[(&str, &str, &str)]) {
    for (name, member, wanted) in cases {
        let body = body.replacen('{', &format!("{{{member},"), 1);
        are_refused(api, &[(&body, wanted)]);
        assert!(
            has_types(api) || refusable(api).iter().any(|known| known == name),
            "{name}"
        );
        read(api, body.as_bytes(), &["other", name]).unwrap_or_else(|problem| panic!("{body}\n{problem}"));
    }
}

#[test]
fn p3_p4_p5_what_has_two_readings_is_refused() {
    for api in ALL {
        let name = limit_name(api);
        let limit = |value: &str| match api {
            Api::OllamaChat | Api::OllamaGenerate => {
                format!(r#"{{"model":"m","options":{{"{name}":{value}}}}}"#)
            }
            _ => format!(r#"{{"model":"m","{name}":{value}}}"#),
        };
        assert!(is_limit_name(api, name) || api == Api::OpenAiEmbeddings);
        for body in [
            r#"{"model":"m","mo\u0064el":"n"}"#,
            r#"{"model":"m","a":[{"b":1,"b":2}]}"#,
            r#"{"model":"m","Model":"n"}"#,
            r#"{"model":"m","MODEL":"n"}"#,
            r#"{"model":"m","\u017ftream":true}"#,
            r#"{"model":"m","ſtream":true}"#,
            r#"{"model":"m"} {}"#,
            "\u{feff}{\"model\":\"m\"}",
            r#"[{"model":"m"}]"#,
            r#"{"model":null}"#,
            r#"{"model":["m"]}"#,
            r#"{"model":""}"#,
            r#"{"model":"m","stream":1}"#,
            r#"{"model":"m","stream":"true"}"#,
            r#"{"model":"m","a":NaN}"#,
            "",
        ] {
            assert!(sent(api, body).is_err(), "{api:?} {body}");
        }
        if api == Api::OpenAiEmbeddings {
            continue;
        }
        // P5.
        for value in [
            "0",
            "-3",
            "-1.0",
            "1e9",
            "1000.0",
            "1.5",
            r#""1000""#,
            "true",
            "[1]",
            "{}",
            "18446744073709551616",
            "9007199254740993",
        ] {
            let problem = sent(api, &limit(value)).expect_err(value);
            assert!(
                problem.contains(name) && problem.contains("whole number"),
                "{problem}"
            );
        }
        let upper = limit("1").replace(name, &name.to_uppercase());
        assert!(sent(api, &upper).unwrap_err().contains("lower case"), "{upper}");
        assert_eq!(sent(api, &limit("null")).unwrap().output_max, None);
        assert_eq!(
            sent(api, &limit("9007199254740992")).unwrap().output_max,
            Some(1 << 53)
        );
        assert_eq!(sent(api, &limit("1")).unwrap().output_max, Some(1));
    }
}

#[test]
fn names_with_look_alikes_of_letters_are_twins() {
    are_refused(
        Api::OpenAiChat,
        &[
            ("{\"model\":\"m\",\"max_to\u{212a}ens\":1}", "lower case"),
            (
                "{\"model\":\"m\",\"max_tokens\":1,\"max_to\\u212aens\":9}",
                "lower case",
            ),
            ("{\"model\":\"m\",\"Background\":true}", "lower case"),
            (
                "{\"model\":\"m\",\"messages\":[{\"Content\":[{\"type\":\"image_url\"}]}]}",
                "messages[0].content",
            ),
            (
                "{\"model\":\"m\",\"messages\":[{\"content\":[{\"type\":\"text\",\"Type\":\"image_url\"}]}]}",
                "lower case",
            ),
            (
                "{\"model\":\"m\",\"stream_options\":{\"Include_usage\":false}}",
                "stream_options.include_usage",
            ),
            (
                "{\"model\":\"m\",\"tools\":[{\"tYpe\":\"web_search\"}]}",
                "tools[0].type",
            ),
        ],
    );
    // Elsewhere any name may be.
    let body = r#"{"model":"m","metadata":{"Model":"x","MODEL":"y"},"Temperature":1}"#;
    are_read(Api::OpenAiChat, &[(body, "m", 0)]);
}

#[test]
fn h14_bombs_are_refused() {
    let deep = format!(
        r#"{{"model":"m","a":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let mut many = r#"{"model":"m""#.to_owned();
    (0..100_000).for_each(|n| write!(many, ",\"k{n}\":0").unwrap());
    many.push('}');
    let long = format!(r#"{{"model":"{}"}}"#, "m".repeat(257));
    for api in ALL {
        are_refused(
            api,
            &[(&deep, "64 levels"), (&many, "members"), (&long, "256 bytes")],
        );
    }
}

#[test]
fn problems_name_the_place_and_what_to_do() {
    for (body, sentence) in [
        ("[]", "the body must be a JSON object"),
        (
            "{\"model\":\"m\"",
            "the body is not JSON with one reading: it ends too early (at byte 12)",
        ),
        (
            r#"{"model":"m","max_tokens":1e9}"#,
            "`max_tokens` must be a whole number from 1 to 2^53, written in digits alone, not `1e9`: else leave it out",
        ),
        (
            r#"{"model":"m","max_tokens":5,"max_completion_tokens":6}"#,
            "`max_tokens` and `max_completion_tokens` say the same thing in two ways: send one of them",
        ),
        (
            r#"{"model":"m","service_tier":"priority"}"#,
            "`service_tier` makes the answer dearer than its price here: leave it out, or send `auto` or `default`",
        ),
        (
            r#"{"model":"m","messages":[{"content":"a"},{"content":[{"type":"text"},{"type":"video_url"}]}]}"#,
            "`messages[1].content[1].type` `video_url` has no price here: leave it out",
        ),
        (
            r#"{"model":"m","Max_tokens":5}"#,
            "`max_tokens` is spelled `Max_tokens`: send it in lower case",
        ),
    ] {
        assert_eq!(sent(Api::OpenAiChat, body).unwrap_err(), sentence);
    }
}

#[test]
fn p12_the_bound_counts_strings_decoded_and_weighs_what_may_grow() {
    let text = |content: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{content}"}}]}}"#);
        sent(Api::OpenAiChat, &body).unwrap().text
    };
    let bare = text("");
    for (content, tokens) in [
        ("hello", 5),
        (r"\n\t\u4e2d", 5),
        ("中文", 6),
        ("\u{fdfa}", 33),
        (r"\ufdfa", 33),
        ("😀", 4),
    ] {
        assert_eq!(text(content) - bare, tokens, "{content}");
    }
}

#[test]
fn p12_schemas_count_as_they_may_be_written_anew() {
    for (api, member) in [
        (Api::OpenAiChat, "response_format"),
        (Api::OpenAiCompletions, "response_format"),
        (Api::OpenAiResponses, "text"),
        (Api::AnthropicMessages, "output_config"),
        (Api::OllamaChat, "format"),
        (Api::OllamaGenerate, "format"),
    ] {
        let body = format!(
            r#"{{"model":"m","{member}":{{"enum":[{}0]}}}}"#,
            "0,".repeat(1000)
        );
        assert!(sent(api, &body).unwrap().text >= 3 * 1000, "{api:?}");
    }
}

#[test]
fn what_may_be_allowed_is_known_by_name() {
    for (api, name, known) in [
        (Api::OpenAiChat, "service_tier", true),
        (Api::OpenAiChat, "chat_template_kwargs.chat_template", true),
        (Api::OpenAiChat, "messages.audio", true),
        (Api::OpenAiResponses, "item_reference", true),
        (Api::AnthropicMessages, "compact", true),
        (Api::OpenAiCompletions, "service_teir", false),
        (Api::OllamaGenerate, "template", true),
        (Api::AnthropicMessages, "speed", true),
    ] {
        assert_eq!(refusable(api).iter().any(|known| known == name), known, "{name}");
    }
}

#[test]
fn a_tokenizer_counts_long_strings_and_nothing_that_is_counted_apart() {
    let words = "word ".repeat(100);
    let body = serde_json::json!({
        "model": "m",
        "messages": [
            { "role": "user", "content": words },
            { "role": "user", "content": [
                { "type": "text", "text": "short" },
                { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{}", "A".repeat(1_000)) } },
            ] },
        ],
        "tools": [{ "type": "function", "function": { "name": "f", "description": words, "parameters": {} } }],
    })
    .to_string();
    let asked = read::<&str>(Api::OpenAiChat, body.as_bytes(), &[]).unwrap();
    let counted = std::cell::RefCell::new(Vec::new());
    let text = asked.refined(body.as_bytes(), |text| {
        counted.borrow_mut().push(text.to_owned());
        100
    });
    assert_eq!(*counted.borrow(), [words.as_str()]);
    assert_eq!(text, asked.text - (500 - 102));
    // More than the bound is not believed.
    assert_eq!(asked.refined(body.as_bytes(), |_| u64::MAX), asked.text);
}
