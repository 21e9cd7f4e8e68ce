use super::*;

const API: Api = Api::OpenAiResponses;

#[test]
fn what_is_asked_for() {
    are_read(
        API,
        &[
            (
                r#"{"model":"m","input":"hi","max_output_tokens":50,"stream":true}"#,
                "m stream=1 max=50",
                0,
            ),
            (
                r#"{"model":"m","instructions":"be brief","input":[{"role":"user","content":"a"}]}"#,
                "m",
                0,
            ),
            (
                r#"{"model":"m","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"data:abc"},{"type":"input_file","file_id":"f"}]}]}"#,
                "m images=1 documents=1",
                8,
            ),
            (
                r#"{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"5"},{"type":"function_call_output","call_id":"d","output":[{"type":"input_image","image_url":"abc"}]}]}"#,
                "m images=1",
                3,
            ),
            (
                r#"{"model":"m","input":[{"type":"computer_call_output","call_id":"c","output":{"type":"computer_screenshot","image_url":"data:abc"}}]}"#,
                "m images=1",
                8,
            ),
            (
                r#"{"model":"m","input":[{"type":"reasoning","id":"r","summary":[],"encrypted_content":"gAAA"},{"type":"reasoning","content":[{"type":"reasoning_text","text":"a"}]}]}"#,
                "m",
                0,
            ),
            (
                r#"{"model":"m","tools":[{"type":"function","name":"f"},{"type":"custom","name":"g"},{"type":"local_shell"}],"reasoning":{"effort":"low"},"store":false,"background":null}"#,
                "m tools=3",
                0,
            ),
        ],
    );
}

#[test]
fn p7_p8_p9_what_costs_more_than_is_seen_is_refused_by_name_unless_allowed() {
    are_refused_unless_allowed(
        API,
        r#"{"model":"m"}"#,
        &[
            ("background", r#""background":true"#, "`background` defers"),
            (
                "previous_response_id",
                r#""previous_response_id":"r""#,
                "not in the body",
            ),
            ("conversation", r#""conversation":{"id":"c"}"#, "not in the body"),
            ("prompt", r#""prompt":{"id":"p"}"#, "`prompt` adds input"),
            (
                "context_management",
                r#""context_management":[{"type":"compaction"}]"#,
                "`context_management`",
            ),
            ("service_tier", r#""service_tier":"flex""#, "dearer"),
            (
                "computer_use_preview",
                r#""tools":[{"type":"computer_use_preview"}]"#,
                "has no price",
            ),
            ("shell", r#""tools":[{"type":"shell"}]"#, "has no price"),
            (
                "item_reference",
                r#""input":[{"type":"item_reference","id":"i"}]"#,
                "`item_reference` adds input",
            ),
            (
                "reasoning",
                r#""input":[{"type":"reasoning","id":"r","summary":[],"content":[ ]}]"#,
                "by its id alone",
            ),
            (
                "reasoning",
                r#""input":[{"type":"reasoning","id":"r","encrypted_content":null}]"#,
                "by its id alone",
            ),
            (
                "web_search_call",
                r#""input":[{"type":"web_search_call","id":"w"}]"#,
                "has no price",
            ),
            (
                "web_search",
                r#""tools":[{"type":"web_search"}]"#,
                "`tools[0].type` `web_search` has no price",
            ),
            (
                "web_search_preview",
                r#""tools":[{"type":"web_search_preview_2025_03_11"}]"#,
                "has no price",
            ),
            (
                "file_search",
                r#""tools":[{"type":"file_search"}]"#,
                "has no price",
            ),
            (
                "code_interpreter",
                r#""tools":[{"type":"code_interpreter"}]"#,
                "has no price",
            ),
            (
                "mcp",
                r#""tools":[{"type":"mcp","server_url":"x"}]"#,
                "has no price",
            ),
            (
                "image_generation",
                r#""tools":[{"type":"image_generation"}]"#,
                "has no price",
            ),
        ],
    );
    are_refused(
        API,
        &[
            (
                r#"{"model":"m","input":{"type":"message"}}"#,
                "`input` must be a list",
            ),
            (r#"{"model":"m","input":[7]}"#, "`input[0]` must be an object"),
            (
                r#"{"model":"m","input":[{"content":[{"type":"input_video"}]}]}"#,
                "`input[0].content[0].type`",
            ),
            (
                r#"{"model":"m","max_output_tokens":5,"max_tokens":6}"#,
                "send one of them",
            ),
        ],
    );
}
