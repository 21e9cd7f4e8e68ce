//! The laws of rates and caps.

use faregate::domain::limits::{Demand, Gauge, Limits};
use faregate::domain::refusal::{Refusal, Scope};
use faregate::domain::time::{Span, Timestamp};
use proptest::prelude::*;

use crate::ledger::moves::{START, micros};

const MINUTE: i64 = 60_000_000;

proptest! {
    /// GCRA: in any stretch of time no more than a minute's worth and what the rate adds over the stretch.
    #[test]
    fn no_more_requests_than_a_minutes_worth_and_the_rate(
        per_minute in 1u64..200,
        gaps in prop::collection::vec(prop_oneof![Just(0i64), 0i64..3_000_000, Just(20_000_000)], 1..300),
    ) {
        let limits = Limits { requests_per_minute: Some(per_minute), ..Limits::NONE };
        let passed = passes(&limits, gaps.into_iter().map(|gap| (gap, 0)));
        for (first, from) in passed.iter().enumerate() {
            for (last, to) in passed.iter().enumerate().skip(first) {
                let count = (last - first + 1) as i128;
                let window = i128::from(to.0.micros() - from.0.micros());
                prop_assert!(count * i128::from(MINUTE) <= i128::from(per_minute) * (i128::from(MINUTE) + window));
            }
        }
    }

    /// The same for tokens; only a single request may be above a minute's worth, and then alone.
    #[test]
    fn no_more_tokens_than_a_minutes_worth_and_the_rate(
        per_minute in 1u64..100,
        asks in prop::collection::vec((prop_oneof![Just(0i64), 0i64..20_000_000, Just(200_000_000)], 0u64..150), 1..100),
    ) {
        let limits = Limits { tokens_per_minute: Some(per_minute), ..Limits::NONE };
        let passed = passes(&limits, asks.into_iter());
        for first in 0..passed.len() {
            let (mut sum, mut largest) = (0i128, i128::from(per_minute));
            for (at, tokens) in &passed[first..] {
                sum += i128::from(*tokens);
                largest = largest.max(i128::from(*tokens));
                let window = i128::from(at.micros() - passed[first].0.micros());
                let rate = i128::from(per_minute) * window;
                prop_assert!((sum - largest) * i128::from(MINUTE) <= rate, "{} tokens", sum);
            }
        }
    }

    /// What a refusal says about waiting is exact.
    #[test]
    fn after_the_wait_it_passes_and_not_before(
        per_minute in 1u64..100,
        before in prop::collection::vec(1u64..60, 0..20),
        tokens in 1u64..150,
    ) {
        let limits = Limits { tokens_per_minute: Some(per_minute), ..Limits::NONE };
        let mut gauge = Gauge::default();
        let mut ask = |tokens, now| gauge.pass(&limits, Scope::Key, demand(tokens), now);
        for earlier in before {
            let _ = ask(earlier, START);
        }
        if let Err(Refusal::RateLimited { scope, retry_after }) = ask(tokens, START) {
            prop_assert_eq!(scope, Scope::Key);
            let early = Span::from_micros(retry_after.micros() - 1);
            prop_assert!(ask(tokens, START.plus(early)).is_err());
            prop_assert_eq!(ask(tokens, START.plus(retry_after)), Ok(()));
        }
    }

    /// A refusal by any cap counts nothing.
    #[test]
    fn a_refusal_leaves_the_gauge_alone(
        requests in prop::option::of(0u64..3),
        tokens in prop::option::of(0u64..20),
        concurrent in prop::option::of(0u64..2),
        asks in prop::collection::vec((0i64..30_000_000, 0u64..30), 1..30),
    ) {
        let limits = Limits { requests_per_minute: requests, tokens_per_minute: tokens, concurrent, ..Limits::NONE };
        let (mut gauge, mut now) = (Gauge::default(), START);
        for (gap, tokens) in asks {
            now = now.plus(Span::from_micros(gap));
            let before = gauge;
            match gauge.pass(&limits, Scope::Account, demand(tokens), now) {
                Err(_) => prop_assert_eq!(gauge, before),
                Ok(()) => gauge.open(micros(1)),
            }
            prop_assert!(concurrent.is_none_or(|most| gauge.open <= most));
        }
    }
}

fn demand(tokens: u64) -> Demand {
    let least = micros(1);
    Demand { tokens, least }
}

/// Those that pass of requests at these distances with so many tokens: when, and the tokens.
fn passes(limits: &Limits, asks: impl Iterator<Item = (i64, u64)>) -> Vec<(Timestamp, u64)> {
    let (mut gauge, mut now) = (Gauge::default(), START);
    let mut passed = Vec::new();
    for (gap, tokens) in asks {
        now = now.plus(Span::from_micros(gap));
        if gauge.pass(limits, Scope::Account, demand(tokens), now).is_ok() {
            passed.push((now, tokens));
        }
    }
    passed
}

#[test]
fn a_cap_of_zero_refuses() {
    let limits = Limits {
        requests_per_minute: Some(0),
        ..Limits::NONE
    };
    let mut gauge = Gauge::default();
    let refusal = gauge.pass(&limits, Scope::Account, demand(0), START);
    let retry_after = Span::from_secs(60);
    let scope = Scope::Account;
    assert_eq!(refusal, Err(Refusal::RateLimited { scope, retry_after }));
}
