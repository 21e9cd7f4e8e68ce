//! What passes when: limits, permission, memory, frames.

use super::*;

const API: Api = Api::OpenAiChat;

fn delta(content: &str) -> String {
    format!(r#"data: {{"choices":[{{"index":0,"delta":{{"content":"{content}"}}}}]}}"#) + "\n\n"
}

#[test]
fn a_run_of_whole_events_is_a_slice_of_its_frame() {
    let frame = Bytes::from(format!("{}{}data: {{\"cho", delta("a"), delta("b")));
    let mut meter = Meter::new(setup(API, true));
    meter.feed(frame.clone());
    let Step::Pass(run) = meter.next(|_| true) else {
        panic!("nothing passes");
    };
    assert_eq!(run.as_ptr(), frame.as_ptr());
    assert_eq!(run, (delta("a") + &delta("b")).as_bytes());
    assert_eq!((meter.next(|_| true), meter.held()), (Step::Starved, 11));
}

#[test]
fn what_is_not_allowed_waits_and_counts_only_when_it_passes() {
    let stream = [
        delta("a"),
        delta("bb"),
        ": ping\n\n".to_owned(),
        delta("ccc"),
        "data: [DONE]\n\n".to_owned(),
    ]
    .concat();
    for size in [1, 7, 40, stream.len()] {
        let mut meter = Meter::new(setup(API, false));
        let mut limit = 0;
        let mut out = Vec::new();
        let mut stops = 0;
        for frame in stream.as_bytes().chunks(size) {
            meter.feed(Bytes::copy_from_slice(frame));
            loop {
                match meter.next(|tally| tally.delivered.bytes <= limit) {
                    Step::Pass(bytes) => out.extend_from_slice(&bytes),
                    Step::Starved => break,
                    Step::Stopped => {
                        stops += 1;
                        assert_eq!(
                            meter.tally().delivered.bytes,
                            [0, 1, 1, 3, 3, 3][usize::try_from(limit).unwrap()]
                        );
                        limit += 1;
                    }
                }
            }
        }
        assert_eq!((stops, limit), (6, 6), "in frames of {size}");
        assert_eq!(out, stream.as_bytes());
        assert!(meter.end().complete);
    }
}

#[test]
fn frames_may_be_fed_while_others_wait() {
    let mut meter = Meter::new(setup(API, false));
    meter.feed(Bytes::from(delta("a")));
    assert_eq!(meter.next(|_| false), Step::Stopped);
    meter.feed(Bytes::from(delta("b")));
    assert_eq!(meter.next(|_| false), Step::Stopped);
    assert_eq!(
        meter.next(|_| true),
        Step::Pass((delta("a") + &delta("b")).into())
    );
}

#[test]
fn an_event_that_is_too_long_passes_unread_and_uncopied() {
    let long = format!(
        "data: {{\"choices\":[],\"x\":\"{}\",\"usage\":{{\"prompt_tokens\":4,\"completion_tokens\":5}}}}\n\n",
        "y".repeat(EVENT_MAX)
    );
    let stream = format!("{}{long}{}data: [DONE]\n\n", delta("a"), delta("b"));
    for size in [1000, 65_536, EVENT_MAX, EVENT_MAX + 1, stream.len()] {
        let frames: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
        let passed = pass(setup(API, true), &frames);
        assert_eq!(passed.out, stream, "in frames of {size}");
        assert_eq!(passed.tally.usage, Usage::of(4, 5), "in frames of {size}");
        assert_eq!(passed.tally.counted, Counted { bytes: 1, events: 1 });
        let all = Counted {
            bytes: 2 + long.len() as u64,
            events: 3,
        };
        assert_eq!((passed.tally.delivered, passed.complete), (all, true));
    }
    // It can be stopped within.
    let mut meter = Meter::new(setup(API, true));
    for frame in stream.as_bytes().chunks(100_000) {
        meter.feed(Bytes::copy_from_slice(frame));
        while let Step::Pass(_) = meter.next(|tally| tally.delivered.bytes < EVENT_MAX as u64) {}
    }
    assert_eq!(
        meter.next(|tally| tally.delivered.bytes < EVENT_MAX as u64),
        Step::Stopped
    );
    assert!(meter.tally().delivered.bytes < EVENT_MAX as u64);
}

#[test]
fn a_meter_is_small() {
    assert!(size_of::<Meter>() <= 512, "{} bytes", size_of::<Meter>());
    let mut meter = Meter::new(setup(API, true));
    meter.feed(Bytes::from(delta("a")));
    while let Step::Pass(_) = meter.next(|_| true) {}
    assert_eq!((meter.held(), meter.partial.capacity()), (0, 0));
}

/// Pieces of streams, good and bad.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n", ":", "data", "data: ", "event: x", " ", "[DONE]", "\u{feff}", "{", "}"])
            .prop_map(str::to_owned),
        prop::sample::select(vec![
            r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":null}"#,
            r#"data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
            r#"data:{"usage":{"prompt_tokens":3,"completion_tokens":-4},"choices":[{"index":1,"delta":{"content":"\u4e16"},"finish_reason":"stop"}]}"#,
            r#"data: {"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}"#,
            r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#,
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn the_cut_into_frames_does_not_matter(
        pieces in prop::collection::vec(piece(), 0..24),
        cuts in prop::collection::vec(1_usize..40, 1..20),
        hide in any::<bool>(),
        api in prop::sample::select(vec![Api::OpenAiChat, Api::AnthropicMessages]),
    ) {
        let stream = pieces.concat();
        let setup = setup(api, hide);
        let whole = pass(setup, &[stream.as_bytes()]);
        let mut frames = Vec::new();
        let mut rest = stream.as_bytes();
        for size in cuts.iter().cycle() {
            let (frame, more) = rest.split_at((*size).min(rest.len()));
            frames.push(frame);
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(&pass(setup, &frames), &whole);
        if !hide {
            prop_assert_eq!(whole.out, stream);
        }
    }
}
