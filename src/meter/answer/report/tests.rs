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
    // DeepSeek, Moonshot, and details that are null.
    case(
        r#"{"prompt_tokens":10,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2,"completion_tokens":1,"prompt_tokens_details":null}"#,
        Some(&[(I, 2), (C, 8)]),
        Some(&[(O, 1)]),
        0,
    );
    case(
        r#"{"prompt_tokens":10,"cached_tokens":8,"completion_tokens":1}"#,
        Some(&[(I, 2), (C, 8)]),
        Some(&[(O, 1)]),
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
