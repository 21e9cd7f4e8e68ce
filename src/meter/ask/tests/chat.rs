use super::*;

const API: Api = Api::OpenAiChat;

#[test]
fn what_is_asked_for() {
    are_read(
        API,
        &[
            (r#"{"model":"gpt-4o-mini","messages":[]}"#, "gpt-4o-mini", 0),
            (
                r#"{"model":"m","messages":[{"role":"system","content":"a"},{"role":"user","content":null}],"stream":true,"max_tokens":16}"#,
                "m stream=1 max=16",
                0,
            ),
            (
                r#"{"model":"m","stream":null,"max_tokens":null,"n":null,"stream_options":null,"tools":null}"#,
                "m",
                0,
            ),
            (
                r#" { "mod\u0065l" : "m" , "max_completion_tokens" : 7 } "#,
                "m max=7",
                2 + 5,
            ),
            (
                r#"{"model":"m","max_tokens":7,"max_completion_tokens":7,"n_predict":null}"#,
                "m max=7",
                0,
            ),
            (
                r#"{"model":"m","n_predict":9,"min_tokens":4}"#,
                "m max=9 least=4",
                0,
            ),
            (r#"{"model":"m","n":3}"#, "m choices=3", 0),
            (r#"{"model":"m","n":1,"best_of":4}"#, "m choices=4", 0),
            (
                r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true,"x":1}}"#,
                "m stream=1 usage=1 continuous=1",
                0,
            ),
            (
                r#"{"model":"m","stream_options":{"include_usage":false}}"#,
                "m",
                0,
            ),
            (
                r#"{"model":"m","tools":[{"type":"function","function":{"name":"f"}},{"function":{}}],"functions":[{"name":"g"}]}"#,
                "m tools=3",
                0,
            ),
            (
                r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"},"there",{"image_url":{"url":"data:image/png;base64,AAAA","detail":"high"},"type":"image_url"}]}]}"#,
                "m images=1",
                26,
            ),
            (
                r#"{"model":"m","messages":[{"content":[{"type":"image_url","image_url":"https://a/b"},{"type":"input_image","image_url":"data:,"}]}]}"#,
                "m images=2",
                11 + 6,
            ),
            (
                r#"{"model":"m","messages":[{"content":[{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}}]}]}"#,
                "m audios=1",
                8,
            ),
            (
                r#"{"model":"m","messages":[{"content":[{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AA"}}]}]}"#,
                "m documents=1",
                30,
            ),
            // A document that is not known to be compressed counts by its bytes as well.
            (
                r#"{"model":"m","messages":[{"content":[{"type":"file","file":{"file_data":"data:text/plain;base64,AAAA"}},{"type":"file","file":{"file_id":"f"}}]}]}"#,
                "m documents=2",
                0,
            ),
            (
                r#"{"model":"m","modalities":["text"],"service_tier":"auto","background":false,"plugins":[]}"#,
                "m",
                0,
            ),
            (
                r#"{"model":"m","messages":[{"content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}]}"#,
                "m writes_cache=1",
                0,
            ),
            (
                r#"{"model":"m","messages":[{"role":"system","tools":[{"type":"function"}]}],"input_ids":[1,2,3]}"#,
                "m tools=1",
                5 - 3,
            ),
            (r#"{"messages":[]}"#, "", 0),
            ("{}", "", 0),
            (
                r#"{"model":"m","chat_template_kwargs":{"enable_thinking":false},"temperature":0.5,"seed":1}"#,
                "m",
                0,
            ),
        ],
    );
}

#[test]
fn what_is_refused() {
    are_refused(
        API,
        &[
            (
                r#"{"model":"m","max_tokens":5,"n_predict":6}"#,
                "send one of them",
            ),
            (r#"{"model":"m","n":0}"#, "`n` must be"),
            (r#"{"model":"m","n":2.0}"#, "`n` must be"),
            (r#"{"model":"m","min_tokens":-1}"#, "`min_tokens` must be"),
            (
                r#"{"model":"m","messages":{"role":"user"}}"#,
                "`messages` must be a list",
            ),
            (
                r#"{"model":"m","messages":["hi"]}"#,
                "`messages[0]` must be an object",
            ),
            (
                r#"{"model":"m","messages":[{"content":5}]}"#,
                "`messages[0].content` must be",
            ),
            (
                r#"{"model":"m","messages":[{"content":[5]}]}"#,
                "`messages[0].content[0]` must be",
            ),
            (
                r#"{"model":"m","messages":[{"content":[{"text":"a"}]}]}"#,
                "`messages[0].content[0].type` is missing",
            ),
            (
                r#"{"model":"m","messages":[{"content":[{"type":["text"]}]}]}"#,
                "must be a text",
            ),
            (r#"{"model":"m","tools":["web_search"]}"#, "`tools[0]` must be"),
            (
                r#"{"model":"m","stream_options":[]}"#,
                "`stream_options` must be an object",
            ),
            (
                r#"{"model":"m","stream_options":{"include_usage":"yes"}}"#,
                "`true` or `false`",
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
            (
                "service_tier",
                r#""service_tier":"priority""#,
                "`service_tier` makes the answer dearer",
            ),
            ("service_tier", r#""service_tier":7"#, "`service_tier` makes"),
            ("background", r#""background":true"#, "`background` defers"),
            ("deferred", r#""deferred":true"#, "defers"),
            (
                "prediction",
                r#""prediction":{"type":"content","content":"x"}"#,
                "dearer",
            ),
            ("modalities", r#""modalities":["text","audio"]"#, "dearer"),
            (
                "previous_response_id",
                r#""previous_response_id":"resp_1""#,
                "not in the body",
            ),
            (
                "web_search_options",
                r#""web_search_options":{}"#,
                "tools of its own",
            ),
            ("plugins", r#""plugins":[{"id":"web"}]"#, "tools of its own"),
            ("web_search", r#""tools":[{"type":"web_search"}]"#, "has no price"),
            ("models", r#""models":["dear"]"#, "another model"),
            ("provider", r#""provider":{"order":["x"]}"#, "another model"),
            (
                "chat_template",
                r#""chat_template":"{% for i in range(9) %}x{% endfor %}""#,
                "few bytes",
            ),
            (
                "chat_template_kwargs.chat_template",
                r#""chat_template_kwargs":{"chat_template":"x"}"#,
                "`chat_template_kwargs.chat_template` can make",
            ),
            ("prompt_embeds", r#""prompt_embeds":"AAAA""#, "not in the body"),
            (
                "mm_processor_kwargs",
                r#""mm_processor_kwargs":{"max_pixels":1}"#,
                "pictures",
            ),
            (
                "messages.audio",
                r#""messages":[{"role":"assistant","audio":{"id":"a"}}]"#,
                "`messages[0].audio` adds input",
            ),
            ("session_id", r#""session_id":"s""#, "not in the body"),
            (
                "ec_transfer_params",
                r#""ec_transfer_params":{}"#,
                "not in the body",
            ),
            (
                "max_dynamic_patch",
                r#""max_dynamic_patch":100"#,
                "how many tokens",
            ),
            (
                "messages.content.image_url.max_dynamic_patch",
                r#""messages":[{"content":[{"type":"image_url","image_url":{"url":"x","max_dynamic_patch":9}}]}]"#,
                "`messages[0].content[0].image_url.max_dynamic_patch` changes how many tokens",
            ),
            (
                "messages.content.modalities",
                r#""messages":[{"content":[{"type":"image_url","image_url":{"url":"x"},"modalities":"video"}]}]"#,
                "`messages[0].content[0].modalities` changes how many tokens",
            ),
            (
                "video_url",
                r#""messages":[{"content":[{"type":"video_url"}]}]"#,
                "has no price",
            ),
        ],
    );
}

#[test]
fn p9_what_goes_before_the_requests_of_others_is_refused() {
    let body = r#"{"model":"m","messages":[]}"#;
    are_refused_unless_allowed(
        Api::OpenAiChat,
        body,
        &[
            ("priority", r#""priority":-5"#, "or send `0`"),
            ("id_slot", r#""id_slot":0"#, "or send `-1`"),
            ("slot_id", r#""slot_id":3"#, "or send `-1`"),
            ("lora", r#""lora":[{"id":0,"scale":1}]"#, "another model"),
        ],
    );
    let harmless = r#"{"model":"m","messages":[],"priority":0,"id_slot":-1,"lora":[]}"#;
    are_read(Api::OpenAiChat, &[(harmless, "m", 0)]);
}
