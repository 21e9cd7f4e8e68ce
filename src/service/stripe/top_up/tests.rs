use super::*;

const CAPS: TopUp = TopUp {
    charges_per_day: 2,
    charges_per_month: 3,
};

fn memo(past: &[(i64, bool)], per_month: Option<u32>) -> TopUpMemo {
    let ten = Amount(Credits::whole(10));
    let past = past.iter().map(|(at, paid)| Past {
        at: *at,
        amount: 1_000,
        currency: "usd".to_owned(),
        credits: ten,
        paid: *paid,
        owed: false,
    });
    TopUpMemo {
        wish: Some(Wish {
            pack: "ten".to_owned(),
            price: 1_000,
            currency: "usd".to_owned(),
            credits: ten,
            expires_after: None,
            category: "paid".to_owned(),
            below: Amount(Credits::whole(5)),
            per_month: per_month.map(|most| Amount(Credits::whole(most))),
        }),
        past: past.collect(),
        ..TopUpMemo::default()
    }
}

#[test]
fn a_cap_is_reached_until_the_charge_that_is_too_many_is_old() {
    let until = |memo: &TopUpMemo, now| memo.trouble(now, &CAPS).map(|(_, until)| until);
    let one = memo(&[(100, true)], None);
    assert_eq!(until(&one, 200), None);
    let two = memo(&[(100, true), (150, true)], None);
    assert_eq!(until(&two, 200), Some(100 + DAY));
    assert_eq!(until(&two, 100 + DAY), None);
    let three = memo(&[(100, true), (DAY, true), (3 * DAY, true)], None);
    assert_eq!(until(&three, 4 * DAY), Some(100 + MONTH));
    // What failed counts for itself.
    let failed: Vec<(i64, bool)> = (0..6).map(|at| (at, false)).collect();
    assert_eq!(until(&memo(&failed[..5], None), 10), None);
    assert_eq!(until(&memo(&failed, None), 10), Some(DAY));
}

#[test]
fn what_a_customer_lets_be_bought_in_a_month_is_not_exceeded() {
    let until = |memo: &TopUpMemo, now| memo.trouble(now, &CAPS).map(|(_, until)| until);
    let past = [(100, true), (2 * DAY, true)];
    assert_eq!(until(&memo(&past, Some(30)), 4 * DAY), None);
    assert_eq!(until(&memo(&past, Some(29)), 4 * DAY), Some(100 + MONTH));
    assert_eq!(until(&memo(&past, Some(19)), 4 * DAY), Some(2 * DAY + MONTH));
    assert_eq!(until(&memo(&past, Some(10)), 3 * MONTH), None);
}

#[test]
fn why_nothing_is_bought_is_said_in_words_and_what_to_do() {
    let whys = [
        Why::Declined,
        Why::CardRefused,
        Why::AuthenticationRequired,
        Why::NoCard,
        Why::PackChanged,
        Why::Refused,
        Why::TooManyGrants,
        Why::Cap,
        Why::TakenBack,
        Why::UnderWay,
    ];
    for why in whys {
        let (word, sentence) = why.said();
        assert!(
            word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{word}"
        );
        assert!(sentence.contains(": ") && !sentence.ends_with('.'), "{sentence}");
    }
}

#[test]
fn what_was_sent_again_a_moment_ago_is_not_given_up() {
    let mut charge = Charge {
        attempt: "top_up.acme.1".to_owned(),
        amount: 1_000,
        currency: "usd".to_owned(),
        credits: Amount(Credits::whole(10)),
        customer: "cus_1".to_owned(),
        method: "pm_1".to_owned(),
        description: String::new(),
        metadata: crate::stripe::facts::Metadata::new(),
        at: 100,
        asked_at: 100,
        payment: None,
        owed: false,
    };
    assert_eq!(charge.unlisted(110, true), Some(Came::Wanted));
    assert_eq!(charge.unlisted(110, false), None);
    assert_eq!(charge.unlisted(700, false), Some(Came::Dropped));
    // It was asked for again when it was wanted still, and noted so before.
    let mut memo = TopUpMemo {
        under_way: Some(charge.clone()),
        ..TopUpMemo::default()
    };
    memo.came(Came::Wanted, 699);
    charge.asked_at = 699;
    assert_eq!((memo.under_way, memo.fresh), (Some(charge.clone()), true));
    assert_eq!(charge.unlisted(700, false), None);
    // Nor when its key is no longer known.
    charge.asked_at = 100 + DAY - 10;
    assert_eq!(charge.unlisted(100 + DAY, true), None);
    assert_eq!(charge.unlisted(700 + DAY, true), Some(Came::Dropped));
}
