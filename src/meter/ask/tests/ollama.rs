use super::*;

#[test]
fn what_is_asked_for() {
    are_read(
        Api::OllamaChat,
        &[
            (
                r#"{"model":"llama3","messages":[{"role":"user","content":"hi"}]}"#,
                "llama3 stream=1",
                0,
            ),
            (
                r#"{"model":"m","stream":false,"options":{"num_predict":5,"seed":4096}}"#,
                "m max=5",
                0,
            ),
            (r#"{"model":"m","stream":null,"options":null}"#, "m stream=1", 0),
            (
                r#"{"model":"m","messages":[{"role":"user","content":"a","images":["AAAA","BBBB"]},{"role":"assistant","tool_calls":[]}],"tools":[{"type":"function"}]}"#,
                "m stream=1 tools=1 images=2",
                8,
            ),
            // At the top it means nothing to Ollama.
            (
                r#"{"model":"m","num_predict":"x","max_tokens":[]}"#,
                "m stream=1",
                0,
            ),
        ],
    );
    are_read(
        Api::OllamaGenerate,
        &[
            (r#"{"model":"m","prompt":"hi","raw":true,"stream":false}"#, "m", 0),
            (
                r#"{"model":"m","system":"a","suffix":"b","images":["AAAA"],"images2":1}"#,
                "m stream=1 images=1",
                4,
            ),
            (
                r#"{"model":"m","context":[128006, 882, 128007],"template":null}"#,
                "m stream=1",
                19 - 3,
            ),
        ],
    );
}

#[test]
fn p3_p5_p7_what_is_refused() {
    are_refused(
        Api::OllamaChat,
        &[
            (
                r#"{"model":"m","options":{"num_predict":-3}}"#,
                "`options.num_predict` must be a whole number from 1",
            ),
            (r#"{"model":"m","options":{"Num_Predict":5}}"#, "lower case"),
            (r#"{"model":"m","options":[]}"#, "`options` must be an object"),
            (r#"{"model":"m","Options":{"num_predict":5}}"#, "lower case"),
            (
                r#"{"model":"m","messages":[{"content":"a","Images":["AAAA"]}]}"#,
                "lower case",
            ),
            (
                r#"{"model":"m","messages":[{"images":[5]}]}"#,
                "`messages[0].images[0]` must be a text",
            ),
            (
                r#"{"model":"m","messages":[{"content":[{"type":"text"}]}]}"#,
                "`messages[0].content[0].type`",
            ),
        ],
    );
    are_refused(
        Api::OllamaGenerate,
        &[
            (
                r#"{"model":"m","context":["a"]}"#,
                "`context[0]` must be a token's number",
            ),
            (r#"{"model":"m","context":"a"}"#, "`context` must be a list"),
        ],
    );
    are_refused_unless_allowed(
        Api::OllamaGenerate,
        r#"{"model":"m"}"#,
        &[(
            "template",
            r#""template":"{{ .Prompt }}""#,
            "`template` can make a long input",
        )],
    );
}

#[test]
fn p9_what_loads_the_model_again_for_everybody_is_refused() {
    let body = r#"{"model":"m"}"#;
    let why = "for everybody: leave it out";
    are_refused_unless_allowed(
        Api::OllamaGenerate,
        body,
        &[
            ("keep_alive", r#""keep_alive":0"#, why),
            ("keep_alive", r#""keep_alive":-1"#, "or send `5m` or `300`"),
            ("keep_alive", r#""keep_alive":"24h""#, why),
            ("options.num_ctx", r#""options":{"num_ctx":131072}"#, why),
            ("options.num_gpu", r#""options":{"num_gpu":0}"#, why),
            ("options.main_gpu", r#""options":{"main_gpu":1}"#, why),
            ("options.num_batch", r#""options":{"num_batch":1}"#, why),
            ("options.num_thread", r#""options":{"num_thread":1}"#, why),
            ("options.use_mmap", r#""options":{"use_mmap":true}"#, why),
        ],
    );
    // What clients send unasked.
    let harmless = r#"{"model":"m","keep_alive":"5m","options":{"num_predict":-1,"num_gpu":-1,"main_gpu":0,"num_batch":512,"num_thread":0,"num_ctx":null,"use_mmap":null}}"#;
    are_read(
        Api::OllamaChat,
        &[
            (harmless, "m stream=1", 0),
            (r#"{"model":"m","keep_alive":300}"#, "m stream=1", 0),
            (r#"{"model":"m","keep_alive":null}"#, "m stream=1", 0),
        ],
    );
}
