use proptest::prelude::*;

use super::*;

fn edited(api: Api, body: &str, change: &Change<'_>) -> String {
    let asked = sent(api, body).unwrap_or_else(|problem| panic!("{body}\n{problem}"));
    let whole = bytes::Bytes::copy_from_slice(body.as_bytes());
    String::from_utf8(asked.edited(&whole, change).concat()).unwrap()
}

#[test]
fn p5_the_limit_is_set_under_the_names_it_has() {
    let change = Change {
        output_max: Some(8),
        limit_name: "max_completion_tokens",
        ..Change::default()
    };
    for (body, wanted) in [
        (r#"{"model":"m"}"#, r#"{"max_completion_tokens":8,"model":"m"}"#),
        (
            r#" { "model":"m"}"#,
            r#" {"max_completion_tokens":8, "model":"m"}"#,
        ),
        (
            r#"{"model":"m","max_tokens":100}"#,
            r#"{"model":"m","max_tokens":8}"#,
        ),
        (
            r#"{"max_t\u006fkens" : 5,"model":"m"}"#,
            r#"{"max_t\u006fkens" : 8,"model":"m"}"#,
        ),
        (
            r#"{"n_predict":9,"model":"m","max_tokens":9,"max_new_tokens":null}"#,
            r#"{"n_predict":8,"model":"m","max_tokens":8}"#,
        ),
        (
            r#"{"model":"m","max_tokens":null}"#,
            r#"{"max_completion_tokens":8,"model":"m"}"#,
        ),
        (
            r#"{"model":"m","max_completion_tokens":null}"#,
            r#"{"model":"m","max_completion_tokens":8}"#,
        ),
        (
            r#"{"model":"m","max_tokens":8}"#,
            r#"{"model":"m","max_tokens":8}"#,
        ),
    ] {
        assert_eq!(edited(Api::OpenAiChat, body, &change), wanted);
    }
    // A name that the API does not know would not be read again.
    let odd = Change {
        limit_name: "model",
        ..change
    };
    assert_eq!(
        edited(Api::OpenAiChat, r#"{"model":"m"}"#, &odd),
        r#"{"max_tokens":8,"model":"m"}"#
    );
    assert_eq!(
        edited(Api::OpenAiEmbeddings, r#"{"model":"m"}"#, &odd),
        r#"{"model":"m"}"#
    );
    for (body, wanted) in [
        (r#"{"model":"m"}"#, r#"{"options":{"num_predict":8},"model":"m"}"#),
        (
            r#"{"model":"m","options":null}"#,
            r#"{"model":"m","options":{"num_predict":8}}"#,
        ),
        (
            r#"{"model":"m","options":{ }}"#,
            r#"{"model":"m","options":{"num_predict":8 }}"#,
        ),
        (
            r#"{"model":"m","options":{"seed":1}}"#,
            r#"{"model":"m","options":{"num_predict":8,"seed":1}}"#,
        ),
        (
            r#"{"model":"m","options":{"num_predict":9}}"#,
            r#"{"model":"m","options":{"num_predict":8}}"#,
        ),
        (
            r#"{"model":"m","options":{"num_predict":null}}"#,
            r#"{"model":"m","options":{"num_predict":8}}"#,
        ),
    ] {
        assert_eq!(edited(Api::OllamaChat, body, &change), wanted);
    }
}

#[test]
fn p5_limits_that_are_null_go_when_there_is_one() {
    // llama.cpp takes them for none at all, whatever the others say; OpenAI refuses two.
    for (body, wanted) in [
        (
            r#"{"max_tokens":null,"model":"m","max_completion_tokens":8}"#,
            r#"{"model":"m","max_completion_tokens":8}"#,
        ),
        (
            r#"{ "n_predict" : null , "max_tokens":null,"max_completion_tokens":9,"model":"m"}"#,
            r#"{ "max_completion_tokens":8,"model":"m"}"#,
        ),
        (
            r#"{"model":"m","max_tokens":8 , "max_completion_tokens" : null, "n_predict":null }"#,
            r#"{"model":"m","max_tokens":8 }"#,
        ),
        (
            r#"{"max_tokens":null,"n_predict":null,"model":"m","max_new_tokens":null}"#,
            r#"{"max_tokens":8,"model":"m"}"#,
        ),
        (
            r#"{"n_predict":null, "max_new_tokens":null }"#,
            r#"{"max_tokens":8 }"#,
        ),
        (r#"{ }"#, r#"{"max_tokens":8 }"#),
        (r#"{"x":1}"#, r#"{"max_tokens":8,"x":1}"#),
        (
            r#"{"n_predict":null,"max_tokens":null,"model":"m"}"#,
            r#"{"max_tokens":8,"model":"m"}"#,
        ),
    ] {
        let change = Change {
            output_max: Some(8),
            limit_name: "max_tokens",
            ..Change::default()
        };
        assert_eq!(edited(Api::OpenAiChat, body, &change), wanted);
    }
    let body = r#"{"model":"m","max_tokens":8,"max_completion_tokens":null}"#;
    let wanted = r#"{"model":"m","max_tokens":8}"#;
    assert_eq!(edited(Api::OpenAiChat, body, &Change::default()), wanted);
    let body = r#"{"model":"m","max_tokens":null}"#;
    assert_eq!(edited(Api::OpenAiChat, body, &Change::default()), body);
}

#[test]
fn p5_a_number_that_means_no_limit_gives_way_to_one() {
    let change = Change {
        output_max: Some(8),
        limit_name: "max_tokens",
        ..Change::default()
    };
    for (api, body, wanted, left_out) in [
        (
            Api::OllamaChat,
            r#"{"model":"m","options":{"num_predict":-1,"seed":1}}"#,
            r#"{"model":"m","options":{"num_predict":8,"seed":1}}"#,
            r#"{"model":"m","options":{"seed":1}}"#,
        ),
        (
            Api::OllamaGenerate,
            r#"{"model":"m","options":{"num_predict":-2}}"#,
            r#"{"model":"m","options":{"num_predict":8}}"#,
            r#"{"model":"m","options":{}}"#,
        ),
        (
            Api::OpenAiChat,
            r#"{"model":"m","max_tokens":-1}"#,
            r#"{"model":"m","max_tokens":8}"#,
            r#"{"model":"m"}"#,
        ),
        (
            Api::OpenAiCompletions,
            r#"{"model":"m","n_predict":-1}"#,
            r#"{"max_tokens":8,"model":"m"}"#,
            r#"{"model":"m"}"#,
        ),
        (
            Api::OpenAiCompletions,
            r#"{"model":"m","n_predict":-2,"max_tokens":9}"#,
            r#"{"model":"m","max_tokens":8}"#,
            r#"{"model":"m","max_tokens":9}"#,
        ),
    ] {
        assert_eq!(edited(api, body, &change), wanted);
        assert_eq!(edited(api, body, &Change::default()), left_out);
    }
}

#[test]
fn p11_usage_is_asked_for_in_streams_whatever_the_client_said() {
    let change = Change {
        ask_usage: true,
        continuous_usage: true,
        ..Change::default()
    };
    for (body, wanted) in [
        (r#"{"model":"m"}"#, r#"{"model":"m"}"#),
        (
            r#"{"model":"m","stream":false,"stream_options":null}"#,
            r#"{"model":"m","stream":false,"stream_options":null}"#,
        ),
        (
            r#"{"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true,"continuous_usage_stats":true},"model":"m","stream":true}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":null}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":false,"x":[]},"model":"m","stream":true}"#,
            r#"{"stream_options":{"continuous_usage_stats":true,"include_usage":true,"x":[]},"model":"m","stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":null,"continuous_usage_stats":false},"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true,"continuous_usage_stats":true},"model":"m","stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":true},"model":"m","stream":true}"#,
            r#"{"stream_options":{"continuous_usage_stats":true,"include_usage":true},"model":"m","stream":true}"#,
        ),
    ] {
        assert_eq!(edited(Api::OpenAiChat, body, &change), wanted);
    }
    for api in [Api::OpenAiResponses, Api::AnthropicMessages, Api::OllamaChat] {
        let body = r#"{"model":"m","stream":true}"#;
        assert_eq!(edited(api, body, &change), body);
    }
}

#[test]
fn nothing_of_the_prompt_is_copied() {
    let body = format!(
        r#"{{"model":"alias","messages":[{{"content":"{}"}}],"stream":true}}"#,
        "x".repeat(1000)
    );
    let body = bytes::Bytes::from(body);
    let asked = read(Api::OpenAiChat, &body, &[""; 0]).unwrap();
    let whole = asked.edited(&body, &Change::default());
    assert_eq!((whole.len(), whole[0].as_ptr()), (1, body.as_ptr()));
    let change = Change {
        output_max: Some(1),
        limit_name: "max_tokens",
        model: Some("real \"one\""),
        ask_usage: true,
        continuous_usage: false,
    };
    let pieces = asked.edited(&body, &change);
    let within = |piece: &bytes::Bytes| body.as_ptr_range().contains(&piece.as_ptr());
    let new: Vec<_> = pieces.iter().filter(|piece| !within(piece)).collect();
    assert_eq!(
        new,
        [
            r#""max_tokens":1,"#,
            r#""stream_options":{"include_usage":true},"#,
            r#""real \"one\"""#
        ]
    );
}

/// A body of this API with what matters to edits in it, in any order and spelling, and other things between.
fn any_body(api: Api) -> impl Strategy<Value = String> {
    let limit = prop::sample::select(vec!["", "null", "7", "5000"]);
    let name = limit_name(api);
    let members = (
        limit.clone(),
        limit,
        prop::sample::select(vec!["", "true", "false", "null"]),
        prop::sample::select(vec![
            "",
            "null",
            "{}",
            r#"{"include_usage":true}"#,
            r#"{ "include_usage" : null , "x":{}}"#,
            r#"{"continuous_usage_stats":false,"include_usage":false}"#,
        ]),
        prop::sample::select(vec![
            "",
            r#""a\"b\\""#,
            r#"{"model":"x","max_tokens":1,"stream":true}"#,
            "[{},[]]",
            "1.5e3",
        ]),
        "[ -~é😀\n]{0,20}",
    );
    let members = members.prop_map(move |(limit, other, stream, options, more, text)| {
        let mut members = Vec::new();
        if text.len() % 5 > 0 {
            members.push(r#""mod\u0065l":"m""#.to_owned());
        }
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                members.push(format!("\"{name}\" : {value}"));
            }
        };
        let conflict = limit != other && !other.contains('n') && !limit.contains('n');
        let other = if conflict { limit } else { other };
        match api {
            Api::OllamaChat | Api::OllamaGenerate if limit == "null" => add("options", limit),
            Api::OllamaChat | Api::OllamaGenerate if !limit.is_empty() => {
                add("options", &format!("{{\"seed\":1, \"{name}\":{limit} }}"))
            }
            Api::OpenAiEmbeddings => {}
            Api::OpenAiChat => {
                add(name, limit);
                add("n_predict", other);
                if text.len() % 2 == 0 {
                    add("max_completion_tokens", "null");
                    add("max_new_tokens", "null");
                }
            }
            _ => add(name, limit),
        }
        add("stream", stream);
        add("stream_options", options);
        add("more", more);
        if text.len() % 3 > 0 {
            add("text", &serde_json::Value::from(text).to_string());
        }
        members
    });
    members
        .prop_shuffle()
        .prop_map(|members| format!(" {{\n{}}}\n", members.join(" ,\t")))
}

fn any_request() -> impl Strategy<Value = (Api, String)> {
    prop::sample::select(ALL.to_vec()).prop_flat_map(|api| any_body(api).prop_map(move |body| (api, body)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_changed_is_read_again_and_all_else_is_as_it_was(
        (api, body) in any_request(),
        output_max in prop::option::of(1_u64..10_000),
        model in prop::option::of("[ -~é\n]{1,20}"),
        ask_usage: bool,
        continuous_usage: bool,
    ) {
        let change = Change {
            output_max,
            limit_name: limit_name(api),
            model: model.as_deref(),
            ask_usage,
            continuous_usage,
        };
        crate::meter::fuzzing::change_in(api, body.as_bytes(), &change);
    }
}
