use super::*;
use crate::meter::json::loose;

const I: Class = Class::Input;
const C: Class = Class::CachedInput;
const W: Class = Class::CacheWrite;
const AI: Class = Class::AudioInput;
const O: Class = Class::Output;
const R: Class = Class::Reasoning;
const AO: Class = Class::AudioOutput;

fn usage(parts: &[(Class, u64)]) -> Usage {
    parts.iter().fold(Usage::default(), |usage, (class, tokens)| {
        usage.with(*class, *tokens)
    })
}

fn read(text: &str, writes: bool) -> Report {
    openai(loose(text.as_bytes()).unwrap(), writes)
}

#[track_caller]
fn case(text: &str, input: Option<&[(Class, u64)]>, output: Option<&[(Class, u64)]>, invalid: u32) {
    let report = read(text, true);
    assert_eq!(report.input, input.map(usage), "{text}");
    assert_eq!(report.output, output.map(usage), "{text}");
    assert_eq!(report.invalid, invalid, "{text}");
}

#[test]
fn a14_usage_is_brought_into_disjoint_kinds() {
    case(
        r#"{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}"#,
        Some(&[(I, 9)]),
        Some(&[(O, 12)]),
        0,
    );
    case(
        r#"{"input_tokens":9,"output_tokens":12,"input_tokens_details":{"cached_tokens":4},"output_tokens_details":{"reasoning_tokens":5},"total_tokens":21}"#,
        Some(&[(I, 5), (C, 4)]),
        Some(&[(O, 7), (R, 5)]),
        0,
    );
    case(
        r#"{"prompt_tokens":100,"prompt_tokens_details":{"cached_tokens":60,"audio_tokens":50,"cache_write_tokens":10},"completion_tokens":30,"completion_tokens_details":{"reasoning_tokens":10,"audio_tokens":5,"accepted_prediction_tokens":1,"rejected_prediction_tokens":2},"total_tokens":130}"#,
        Some(&[(AI, 50), (W, 10), (C, 40)]),
        Some(&[(R, 10), (AO, 5), (O, 15)]),
        0,
    );
    // Reasoning beside what is written, and in the total alone.
    case(
        r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"completion_tokens_details":{"reasoning_tokens":100}}"#,
        Some(&[(I, 10)]),
        Some(&[(O, 5), (R, 100)]),
        0,
    );
    case(
        r#"{"prompt_tokens":10,"completion_tokens":200,"total_tokens":310,"completion_tokens_details":{"reasoning_tokens":100}}"#,
        Some(&[(I, 10)]),
        Some(&[(O, 200), (R, 100)]),
        0,
    );
    case(
        r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115}"#,
        Some(&[(I, 10)]),
        Some(&[(O, 105)]),
        0,
    );
}

#[test]
fn each_provider_says_it_in_its_own_way() {
    for (provider, said, input, output) in [
        (
            "OpenAI",
            r#"{"prompt_tokens":100,"completion_tokens":30,"total_tokens":130,"prompt_tokens_details":{"cached_tokens":60,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":10,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
            &[(I, 40), (C, 60)][..],
            &[(O, 20), (R, 10)][..],
        ),
        (
            "OpenRouter",
            r#"{"prompt_tokens":194,"completion_tokens":12,"total_tokens":206,"cost":0.95,"is_byok":false,"cost_details":{"upstream_inference_cost":19},"prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":100,"audio_tokens":0,"video_tokens":0},"completion_tokens_details":{"reasoning_tokens":2,"image_tokens":0}}"#,
            &[(I, 54), (C, 40), (W, 100)],
            &[(O, 10), (R, 2)],
        ),
        (
            "DeepSeek",
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":3},"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2}"#,
            &[(I, 2), (C, 8)],
            &[(O, 2), (R, 3)],
        ),
        (
            "DeepSeek, with hits alone",
            r#"{"prompt_tokens":10,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2,"completion_tokens":1,"prompt_tokens_details":null}"#,
            &[(I, 2), (C, 8)],
            &[(O, 1)],
        ),
        (
            "Moonshot, Together",
            r#"{"prompt_tokens":10,"cached_tokens":8,"completion_tokens":1,"total_tokens":11}"#,
            &[(I, 2), (C, 8)],
            &[(O, 1)],
        ),
        (
            "Mistral",
            r#"{"prompt_tokens":1013,"total_tokens":1043,"completion_tokens":30,"prompt_tokens_details":{"cached_tokens":1008}}"#,
            &[(I, 5), (C, 1008)],
            &[(O, 30)],
        ),
        (
            "Mistral, by its other names",
            r#"{"prompt_tokens":20,"total_tokens":25,"completion_tokens":5,"prompt_audio_seconds":null,"num_cached_tokens":16}"#,
            &[(I, 4), (C, 16)],
            &[(O, 5)],
        ),
        (
            "Mistral, by its other names",
            r#"{"prompt_tokens":20,"total_tokens":25,"completion_tokens":5,"prompt_token_details":{"cached_tokens":16}}"#,
            &[(I, 4), (C, 16)],
            &[(O, 5)],
        ),
        (
            "Fireworks",
            r#"{"prompt_tokens":20,"total_tokens":25,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":16}}"#,
            &[(I, 4), (C, 16)],
            &[(O, 5)],
        ),
        (
            "Groq",
            r#"{"queue_time":0.075,"prompt_tokens":23,"prompt_time":0.006,"completion_tokens":19,"completion_time":0.022,"total_tokens":42,"total_time":0.0279,"completion_tokens_details":{"reasoning_tokens":9}}"#,
            &[(I, 23)],
            &[(O, 10), (R, 9)],
        ),
        // Reasoning is beside what was written, and in the total.
        (
            "xAI",
            r#"{"prompt_tokens":2341,"completion_tokens":31,"total_tokens":3108,"prompt_tokens_details":{"text_tokens":2341,"audio_tokens":0,"image_tokens":0,"cached_tokens":448},"completion_tokens_details":{"reasoning_tokens":736,"audio_tokens":0},"num_sources_used":0}"#,
            &[(I, 1893), (C, 448)],
            &[(O, 31), (R, 736)],
        ),
        // And where it is counted within, as in later answers of xAI's.
        (
            "xAI, as OpenAI",
            r#"{"prompt_tokens":686,"completion_tokens":123,"total_tokens":809,"prompt_tokens_details":{"cached_tokens":679,"text_tokens":686},"completion_tokens_details":{"text_tokens":11,"reasoning_tokens":112}}"#,
            &[(I, 7), (C, 679)],
            &[(O, 11), (R, 112)],
        ),
        // What was thought is in the total alone: nobody says that it is reasoning.
        (
            "Gemini",
            r#"{"prompt_tokens":20,"completion_tokens":198,"total_tokens":623}"#,
            &[(I, 20)],
            &[(O, 603)],
        ),
        (
            "Gemini, by way of others",
            r#"{"prompt_tokens":21,"completion_tokens":0,"total_tokens":81,"completion_tokens_details":{"reasoning_tokens":60}}"#,
            &[(I, 21)],
            &[(R, 60)],
        ),
        (
            "vLLM",
            r#"{"prompt_tokens":9,"total_tokens":21,"completion_tokens":12,"prompt_tokens_details":null}"#,
            &[(I, 9)],
            &[(O, 12)],
        ),
    ] {
        let report = read(said, true);
        assert_eq!(report.input, Some(usage(input)), "{provider}");
        assert_eq!(report.output, Some(usage(output)), "{provider}");
        assert_eq!((report.invalid, report.total_alone), (0, false), "{provider}");
    }
}

#[test]
fn a14_numbers_that_cannot_be_leave_their_half_unknown() {
    for bad in [
        "-1",
        "1.5",
        "12.0",
        "1e3",
        "\"12\"",
        "true",
        "[1]",
        "{}",
        "18446744073709551616",
        "1099511627777",
        "9007199254740993",
    ] {
        case(
            &format!(r#"{{"prompt_tokens":{bad},"completion_tokens":12,"total_tokens":21}}"#),
            None,
            Some(&[(O, 12)]),
            1,
        );
        case(
            &format!(r#"{{"prompt_tokens":9,"completion_tokens":{bad},"total_tokens":21}}"#),
            Some(&[(I, 9)]),
            None,
            1,
        );
        case(
            &format!(r#"{{"prompt_tokens":9,"completion_tokens":12,"total_tokens":{bad}}}"#),
            Some(&[(I, 9)]),
            Some(&[(O, 12)]),
            1,
        );
        // No discount, and no reasoning, without a number.
        case(
            &format!(
                r#"{{"prompt_tokens":9,"completion_tokens":12,"prompt_tokens_details":{{"cached_tokens":{bad}}},"completion_tokens_details":{{"reasoning_tokens":{bad}}}}}"#
            ),
            Some(&[(I, 9)]),
            Some(&[(O, 12)]),
            2,
        );
    }
    case("{}", None, None, 0);
    case("[]", None, None, 0);
    case(
        r#"{"prompt_tokens":null,"completion_tokens":null,"total_tokens":null}"#,
        None,
        None,
        0,
    );
}

#[test]
fn a14_parts_larger_than_their_total_are_charged_beside_it() {
    case(
        r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":90},"completion_tokens_details":{"reasoning_tokens":7}}"#,
        Some(&[(I, 10), (C, 90)]),
        Some(&[(O, 5), (R, 7)]),
        2,
    );
    case(
        r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"audio_tokens":11},"completion_tokens_details":{"reasoning_tokens":3,"audio_tokens":4}}"#,
        Some(&[(I, 10), (AI, 11)]),
        Some(&[(AO, 4), (O, 1), (R, 3)]),
        2,
    );
    // A total that is too low is not believed.
    case(
        r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":3}"#,
        Some(&[(I, 10)]),
        Some(&[(O, 5)]),
        0,
    );
}

#[test]
fn a14_a_total_alone_is_shared_out() {
    case(
        r#"{"prompt_tokens":10,"total_tokens":15}"#,
        Some(&[(I, 10)]),
        Some(&[(O, 5)]),
        0,
    );
    case(
        r#"{"completion_tokens":10,"total_tokens":15}"#,
        Some(&[(I, 5)]),
        Some(&[(O, 10)]),
        0,
    );
    case(r#"{"total_tokens":15}"#, Some(&[]), Some(&[(O, 15)]), 0);
    assert!(read(r#"{"total_tokens":15}"#, true).total_alone);
    assert!(!read(r#"{"prompt_tokens":1,"total_tokens":15}"#, true).total_alone);
}

#[test]
fn what_embeds_writes_nothing() {
    for text in [
        r#"{"prompt_tokens":8,"total_tokens":8}"#,
        r#"{"total_tokens":8}"#,
        r#"{"prompt_tokens":8,"completion_tokens":0,"total_tokens":8}"#,
    ] {
        let report = read(text, false);
        assert_eq!(
            (report.input, report.output),
            (Some(Usage::of(8, 0)), Some(Usage::default())),
            "{text}"
        );
    }
    assert_eq!(read(r#"{"prompt_tokens":-8}"#, false).input, None);
}
