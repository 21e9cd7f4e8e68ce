use super::*;

const API: Api = Api::AnthropicMessages;

#[test]
fn what_is_asked_for() {
    are_read(
        API,
        &[
            (
                r#"{"model":"claude","max_tokens":1024,"system":"be brief","messages":[{"role":"user","content":"hi"}]}"#,
                "claude max=1024",
                0,
            ),
            (
                r#"{"model":"c","stream":true,"max_tokens":4096,"thinking":{"type":"enabled","budget_tokens":2048}}"#,
                "c stream=1 max=4096 least=2049",
                0,
            ),
            (
                r#"{"model":"c","anthropic_version":"bedrock-2023-05-31","anthropic_beta":["interleaved-thinking-2025-05-14"]}"#,
                "c",
                0,
            ),
            (
                r#"{"model":"c","context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]}}"#,
                "c",
                0,
            ),
            (
                r#"{"model":"c","thinking":{"type":"disabled"},"service_tier":"standard_only","mcp_servers":[]}"#,
                "c",
                0,
            ),
            (
                r#"{"model":"c","system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}}]}"#,
                "c writes_cache=1",
                0,
            ),
            (
                r#"{"model":"c","tools":[{"name":"f","input_schema":{},"cache\u005fcontrol":{}}]}"#,
                "c tools=1 writes_cache=1",
                5,
            ),
            (
                r#"{"model":"c","messages":[{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"image","source":{"type":"url","url":"https://a"}}]}]}"#,
                "c images=2",
                4 + 9,
            ),
            (
                r#"{"model":"c","messages":[{"content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0xLjQ="}},{"type":"document","source":{"type":"file","file_id":"f"}}]}]}"#,
                "c documents=2",
                12,
            ),
            (
                r#"{"model":"c","messages":[{"content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"long text"}},{"type":"document","source":{"type":"content","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"base64","data":"AAAA"}}]}}]}]}"#,
                "c images=1",
                4,
            ),
            (
                r#"{"model":"c","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"a","signature":"b"},{"type":"tool_use","id":"t","name":"f","input":{"content":[{"type":"odd"}]}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"data":"AAAA"}}]}]}]}"#,
                "c images=1",
                4,
            ),
            (
                r#"{"model":"c","tools":[{"name":"f","input_schema":{}},{"type":"custom","name":"g"},{"type":"bash_20250124","name":"bash"},{"type":"text_editor_20250728","name":"e"}]}"#,
                "c tools=4",
                0,
            ),
        ],
    );
}

#[test]
fn p7_p9_what_costs_more_than_is_seen_is_refused_by_name_unless_allowed() {
    are_refused_unless_allowed(
        API,
        r#"{"model":"c","max_tokens":5}"#,
        &[
            (
                "service_tier",
                r#""service_tier":"priority""#,
                "or send `auto` or `standard_only`",
            ),
            ("speed", r#""speed":"fast""#, "`speed` makes the answer dearer"),
            (
                "context-1m",
                r#""anthropic_beta":["interleaved-thinking-2025-05-14","context-1m-2025-08-07"]"#,
                "`anthropic_beta` asks for `context-1m`, which makes the answer dearer",
            ),
            (
                "context-1m",
                r#""anthropic_beta":"x, Context-1M-2025-08-07""#,
                "asks for `context-1m`",
            ),
            (
                "fast-mode",
                r#""anthropic_beta":["fast-mode-2026-02-01"]"#,
                "asks for `fast-mode`",
            ),
            (
                "inference_geo",
                r#""inference_geo":"us""#,
                "`inference_geo` makes",
            ),
            ("thread", r#""thread":{"id":"t"}"#, "not in the body"),
            ("compaction", r#""compaction":{}"#, "dearer"),
            ("container", r#""container":"c_1""#, "not in the body"),
            (
                "compact",
                r#""context_management":{"edits":[{"type":"compact_20260112"}]}"#,
                "`context_management.edits[0].type` `compact_20260112` makes the answer dearer",
            ),
            (
                "browser_toolset",
                r#""tools":[{"type":"browser_toolset_20260801"}]"#,
                "has no price",
            ),
            (
                "mcp_servers",
                r#""mcp_servers":[{"type":"url"}]"#,
                "tools of its own",
            ),
            (
                "web_search",
                r#""tools":[{"type":"web_search_20250305","name":"web_search"}]"#,
                "`web_search_20250305` has no price",
            ),
            (
                "code_execution",
                r#""tools":[{"type":"code_execution_20250825"}]"#,
                "has no price",
            ),
            (
                "container_upload",
                r#""messages":[{"content":[{"type":"container_upload","file_id":"f"}]}]"#,
                "adds input",
            ),
            (
                "web_search_tool_result",
                r#""messages":[{"content":[{"type":"web_search_tool_result"}]}]"#,
                "tools of its own",
            ),
            (
                "odd",
                r#""messages":[{"content":[{"type":"tool_result","content":[{"type":"odd"}]}]}]"#,
                "`messages[0].content[0].content[0].type` `odd` has no price",
            ),
        ],
    );
    are_refused(
        API,
        &[
            (
                r#"{"model":"c","thinking":{"budget_tokens":"5"}}"#,
                "`thinking.budget_tokens` must be",
            ),
            (r#"{"model":"c","thinking":true}"#, "`thinking` must be an object"),
            (
                r#"{"model":"c","anthropic_beta":[["context-1m"]]}"#,
                "`anthropic_beta` must be a list of texts",
            ),
            (
                r#"{"model":"c","anthropic_beta":{"context-1m":true}}"#,
                "`anthropic_beta` must be a list of texts",
            ),
            (r#"{"model":"c","Anthropic_Beta":[]}"#, "lower case"),
            (r#"{"model":"c","thinking":{"Budget_Tokens":5}}"#, "lower case"),
        ],
    );
}

#[test]
fn h14_contents_are_nested_to_a_limit() {
    let nested = |levels: usize| {
        let open = r#"{"type":"tool_result","content":["#.repeat(levels);
        format!(
            r#"{{"model":"c","messages":[{{"content":[{open}{}]}}]}}"#,
            "]}".repeat(levels)
        )
    };
    are_read(API, &[(&nested(5), "c", 0)]);
    are_refused(
        API,
        &[
            (&nested(6), "nested deeper than 6 contents"),
            (&nested(25), "nested deeper than 6"),
        ],
    );
}

#[test]
fn p12_what_is_said_of_tools_that_the_model_knows_counts() {
    let body = |tools: &str| format!(r#"{{"model":"c","tools":[{tools}],"messages":[]}}"#);
    let text = |tools: &str| sent(API, &body(tools)).unwrap().text;
    let none = text("");
    assert_eq!(none, body("").len() as u64);
    // With what is published for the dearest model: a tool's own tokens, and once those of the prompt for tools.
    for (kind, tokens) in [
        ("custom", 0),
        ("bash_20250124", 325),
        ("text_editor_20250728", 700),
        ("computer_20251124", 735 + 499),
        ("computer_toolset_20260801", 4_590),
        ("memory_20250818", 700),
    ] {
        let tool = format!(r#"{{"type":"{kind}","name":"x"}}"#);
        let bound = text(&tool);
        assert!(bound >= none + 804 + tokens, "{kind}: {bound}");
        let two = text(&format!("{tool},{tool}"));
        assert!(two >= bound + tokens, "{kind}: {two} for {bound}");
        // The prompt is there once.
        assert!(two <= 2 * bound - none - 804, "{kind}: {two} for {bound}");
    }
    let longest = |references: usize| {
        let references = vec![r#"{"type":"tool_reference","tool_name":"x"}"#; references].join(",");
        let tools = r#"{"type":"text_editor_20250728","name":"x"}"#;
        sent(
            API,
            &format!(r#"{{"model":"c","tools":[{tools}],"messages":[{{"content":[{references}]}}]}}"#),
        )
        .unwrap()
        .text
    };
    assert!(longest(3) > longest(0) + 3 * 700);
}

#[test]
fn p12_each_name_of_a_tool_may_be_the_longest_tool() {
    let body = |references: usize| {
        let references = vec![r#"{"type":"tool_reference","tool_name":"f"}"#; references].join(",");
        format!(
            r#"{{"model":"c","tools":[{{"name":"f"}},{{"name":"g","description":"{}"}}],"messages":[{{"content":[{references}]}}]}}"#,
            "x".repeat(1000)
        )
    };
    let asked = |references| sent(API, &body(references)).unwrap();
    assert_eq!((asked(0).tools, asked(7).tools), (2, 9));
    assert!(asked(7).text > asked(0).text + 7 * 1000);
}
