use super::*;

#[test]
fn what_completions_ask_for() {
    are_read(
        Api::OpenAiCompletions,
        &[
            (
                r#"{"model":"m","prompt":"hi","max_tokens":5,"stream":true}"#,
                "m stream=1 max=5",
                0,
            ),
            (r#"{"model":"m"}"#, "m", 0),
            (r#"{"model":"m","prompt":null}"#, "m", 0),
            (
                r#"{"model":"m","prompt":["a","b","c"],"n":2,"best_of":3}"#,
                "m choices=9",
                0,
            ),
            (r#"{"model":"m","prompt":[]}"#, "m", 0),
            // Tokens count by number: the list's brackets, and one for each.
            (r#"{"model":"m","prompt":[15339, 1917]}"#, "m", 11 - 2),
            (
                r#"{"model":"m","prompt":[[15339,1917],[7],"a"]}"#,
                "m choices=3",
                10 - 2,
            ),
            (r#"{"model":"m","prompt":"a","suffix":"b","echo":true}"#, "m", 0),
        ],
    );
}

#[test]
fn p6_what_is_no_prompt_is_refused() {
    are_refused(
        Api::OpenAiCompletions,
        &[
            (
                r#"{"model":"m","prompt":{"prompt_string":"a"}}"#,
                "`prompt` must be a list",
            ),
            (r#"{"model":"m","prompt":7}"#, "`prompt` must be a list"),
            (
                r#"{"model":"m","prompt":[{"prompt_string":"a"}]}"#,
                "`prompt[0]` must be",
            ),
            (r#"{"model":"m","prompt":["a",5]}"#, "`prompt[1]` must be"),
            (
                r#"{"model":"m","prompt":[5,"a"]}"#,
                "`prompt[1]` must be a token's number",
            ),
            (
                r#"{"model":"m","prompt":[[1,[2]]]}"#,
                "`prompt[0][1]` must be a token's number",
            ),
            (
                r#"{"model":"m","prompt":[1.5]}"#,
                "`prompt[0]` must be a token's number",
            ),
        ],
    );
    are_refused_unless_allowed(
        Api::OpenAiCompletions,
        r#"{"model":"m"}"#,
        &[
            (
                "prompt_embeds",
                r#""prompt_embeds":["AAAA"]"#,
                "`prompt_embeds` adds input",
            ),
            (
                "image_data",
                r#""image_data":[{"data":"AAAA","id":1}]"#,
                "`image_data` adds input",
            ),
            ("service_tier", r#""service_tier":"flex""#, "dearer"),
        ],
    );
}

#[test]
fn what_embeddings_ask_for() {
    are_read(
        Api::OpenAiEmbeddings,
        &[
            (r#"{"model":"e","input":"hi"}"#, "e choices=0", 0),
            (
                r#"{"model":"e","input":["a","b"],"dimensions":256,"encoding_format":"base64"}"#,
                "e choices=0",
                0,
            ),
            (
                r#"{"model":"e","input":[[101,2054,102],[7]]}"#,
                "e choices=0",
                12 + 1 - 4,
            ),
            (
                r#"{"model":"e","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:abc"}}]}]}"#,
                "e choices=0 images=1",
                8,
            ),
        ],
    );
    are_refused(
        Api::OpenAiEmbeddings,
        &[
            (
                r#"{"model":"e","input":[{"image":"https://a"}]}"#,
                "`input[0]` must be",
            ),
            (r#"{"model":"e","input":["a"],"Input":"b"}"#, "lower case"),
        ],
    );
}
