//! `[stripe]`: what comes out, what changes are told, what is never told.

use super::*;
use crate::config::stripe::{AfterLast, Mode, Reaction, Troubles};
use crate::domain::grant::Category;
use crate::domain::money::Currency;
use crate::domain::time::Span;

const LEAST: &str = "[stripe]\nmode = \"ledger\"\nwebhook_secrets = [\"${STRIPE_WEBHOOK_SECRET}\"]\ncredits_per_unit = { usd = 1 }\n";
const PAGES: &str =
    "[stripe.checkout]\nsuccess_url = \"https://example.com/a\"\ncancel_url = \"https://example.com/b\"\n";

fn stripe(text: &str) -> Arc<Stripe> {
    let config = read(&with_base(text)).unwrap_or_else(|problems| panic!("{problems}"));
    config.stripe.unwrap()
}

fn pack(id: &str, more: &str) -> String {
    format!("[[stripe.packs]]\nid = \"{id}\"\nname = \"A pack\"\n{more}\n")
}

fn usd() -> Currency {
    "usd".parse().unwrap()
}

#[test]
fn without_the_section_there_is_no_stripe() {
    assert_eq!(read(&with_base("")).unwrap().stripe, None);
}

#[test]
fn what_is_left_out_is_careful() {
    let stripe = stripe(LEAST);
    assert_eq!((stripe.mode, stripe.livemode), (Mode::Ledger, false));
    assert_eq!(stripe.webhook_secrets, [Secret::new("whsec_canary")]);
    assert_eq!(stripe.api_base.to_string(), "https://api.stripe.com");
    assert_eq!(&*stripe.account_metadata, "faregate_account");
    assert_eq!((&stripe.api_key, stripe.sync_every), (&None, None));
    assert_eq!((&stripe.account, &stripe.plan), (&None, &None));
    assert_eq!((stripe.fail_fast, &stripe.checkout), (None, &None));
    assert_eq!(stripe.on, Troubles::default());
    assert!(stripe.packs.is_empty());
    assert!(
        stripe
            .on
            .all()
            .iter()
            .all(|(_, reaction)| *reaction != Reaction::IGNORE)
    );
    let with_key = format!("{LEAST}api_key = \"${{STRIPE_API_KEY}}\"\n[stripe.fail_fast]\n");
    let stripe = self::stripe(&with_key);
    assert_eq!(stripe.sync_every.unwrap().as_secs(), 3_600);
    let fail_fast = stripe.fail_fast.unwrap();
    assert_eq!(
        (fail_fast.attempts_max, fail_fast.after_last),
        (1, AfterLast::Cancel)
    );
}

#[test]
fn everything_set_for_stripe_comes_out_typed() {
    let (_, text) = folder("valid")
        .into_iter()
        .find(|(path, _)| path.ends_with("stripe.toml"))
        .unwrap();
    let stripe = read(&text).unwrap().stripe.unwrap();
    assert_eq!((stripe.mode, stripe.livemode), (Mode::Grants, true));
    assert_eq!(stripe.webhook_secrets.len(), 2);
    assert_eq!(stripe.api_key, Some(Secret::new("rk_live_canary")));
    assert_eq!(stripe.api_base.to_string(), "http://127.0.0.1:12111");
    assert_eq!(stripe.account.as_deref(), Some("acct_1A2b3C4d5E6f7G"));
    assert_eq!(stripe.since, Some(1_793_487_600));
    assert_eq!(&*stripe.account_metadata, "tenant");
    assert_eq!(stripe.plan, Some(PlanId::new("free").unwrap()));
    assert_eq!(stripe.sync_every.unwrap().as_secs(), 900);
    assert_eq!(stripe.rates.credits(usd(), 1_050), Ok("10.5".parse().unwrap()));
    assert_eq!(stripe.rates.iter().count(), 5);
    assert_eq!(
        (stripe.on.dispute, stripe.on.refund, stripe.on.subscription),
        (Reaction::PAUSE, Reaction::IGNORE, Reaction::PAUSE)
    );
    let fail_fast = stripe.fail_fast.unwrap();
    assert_eq!(
        (fail_fast.attempts_max, fail_fast.after_last),
        (2, AfterLast::Pause)
    );
    let checkout = stripe.checkout.as_ref().unwrap();
    assert_eq!(
        &*checkout.success_url,
        "https://example.com/bought?session={CHECKOUT_SESSION_ID}"
    );
    let starter = stripe.pack("starter").unwrap();
    assert_eq!((starter.price, starter.currency), (1_000, usd()));
    assert_eq!(starter.credits, "10".parse().unwrap());
    assert_eq!((starter.expires_after, starter.category), (None, Category::Paid));
    let yen = stripe.pack("yen").unwrap();
    assert_eq!((yen.price, &*yen.name), (1_500, "¥1500"));
    assert_eq!(yen.credits, "10.05".parse().unwrap());
    assert_eq!(yen.expires_after, Some(Span::from_secs(365 * 86_400)));
    assert_eq!(yen.category, Category::Promotional);
    assert_eq!(stripe.pack("none"), None);
}

#[test]
fn w9_prices_are_exact_in_the_minor_units_of_their_currency() {
    for (currency, price, minor) in [
        ("usd", "9.99", 999),
        ("usd", "0.5", 50),
        ("jpy", "1500.0", 1_500),
        ("kwd", "1.230", 1_230),
        ("isk", "500", 50_000),
        ("ugx", "5", 500),
        ("usd", "9_999_999_999.99", 999_999_999_999),
    ] {
        let text = format!(
            "{LEAST}api_key = \"k\"\n{PAGES}{}",
            pack(
                "p",
                &format!("price = {price}\ncurrency = \"{currency}\"\ncredits = 1")
            )
        );
        assert_eq!(stripe(&text).packs[0].price, minor, "{currency} {price}");
    }
}

#[test]
fn a_reload_says_what_changes_of_stripe_and_that_only_what_counts_takes_a_restart() {
    let old = format!(
        "{LEAST}api_key = \"a\"\n{PAGES}{}{}",
        pack("a", "price = 1\ncurrency = \"usd\""),
        pack("gone", "price = 2\ncurrency = \"usd\"")
    );
    let new = old
        .replace("mode = \"ledger\"", "mode = \"grants\"\nlivemode = true")
        .replace("{STRIPE_WEBHOOK_SECRET}", "{TOKEN_A}")
        .replace("\"a\"\n[", "\"b\"\naccount = \"acct_1\"\n[")
        .replace("{ usd = 1 }", "{ usd = 2, eur = 1 }")
        .replace("\"gone\"", "\"new\"")
        .replace("com/a", "com/c");
    let new = format!("{new}expires_after = \"30d\"\n[stripe.on]\nrefund = \"ignore\"\n[stripe.fail_fast]\n");
    let (old, new) = [old, new].map(|text| read(&with_base(&text)).unwrap()).into();
    let lines: Vec<String> = old.diff(&new).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "stripe.account: new: acct_1 (after a restart)",
            "stripe.api_key: another secret",
            "stripe.checkout.success_url: https://example.com/a -> https://example.com/c",
            "stripe.credits_per_unit.eur: new: 1.000000",
            "stripe.credits_per_unit.usd: 1.000000 -> 2.000000",
            "stripe.fail_fast.after_last: new: cancel",
            "stripe.fail_fast.attempts_max: new: 1",
            "stripe.livemode: false -> true (after a restart)",
            "stripe.mode: ledger -> grants (after a restart)",
            "stripe.on.refund: claw_back -> ignore",
            "stripe.webhook_secrets: another secret",
            "stripe.packs[a].credits: 1.000000 -> 2.000000",
            "stripe.packs[gone]: gone: price 2.00 usd, credits 2.000000",
            "stripe.packs[new]: new: price 2.00 usd, credits 4.000000",
        ]
    );
    let none = read(&with_base("")).unwrap();
    for difference in none.diff(&new).iter().chain(&new.diff(&none)) {
        assert!(difference.key.starts_with("stripe."), "{difference}");
        // Only that there is a Stripe, or no longer.
        assert_eq!(
            difference.restart,
            matches!(
                &*difference.key,
                "stripe.account" | "stripe.livemode" | "stripe.mode"
            ),
            "{difference}"
        );
    }
    assert!(none.diff(&new).len() > 15);
}

/// Secrets in the wrong place are told by their kind alone.
#[test]
fn s2_no_problem_tells_a_secret_of_stripes() {
    let mut seen = 0;
    for (path, text) in folder("invalid") {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("stripe-") {
            continue;
        }
        let said = read(&text).unwrap_err().to_string();
        for canary in ["canary", "hunter2"] {
            assert!(!said.contains(canary), "{name}: {said}");
        }
        seen += usize::from(text.contains("canary"));
    }
    assert!(seen > 5);
}

#[test]
fn a_reload_says_what_changes_of_what_opens_a_plan() {
    let text = |by: &str| {
        let free = format!("[plans.free.verify]\n{by}\nopens = \"pro\"\n[plans.pro]\n");
        let packs = pack("small", "price = 6\ncurrency = \"usd\"");
        read(&with_base(&format!(
            "{LEAST}api_key = \"a\"\n{PAGES}{packs}{free}"
        )))
        .unwrap()
    };
    let card = text("by = \"card\"\ncredits = 5\nexpires_after = \"14d\"");
    let charge = text("by = \"charge\"\namount = 1\ncurrency = \"usd\"\ncredits = 6\nprepaid_cards = true");
    let payment = text("by = \"payment\"\ncredits_paid = 10");
    let lines = |old: &Config, new: &Config| -> Vec<String> {
        old.diff(new).iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        lines(&card, &charge),
        [
            "plans.free.verify.amount: new: 1.00 usd",
            "plans.free.verify.by: card -> charge",
            "plans.free.verify.credits: 5.000000 -> 6.000000",
            "plans.free.verify.expires_after: gone: 14d",
            "plans.free.verify.prepaid_cards: new: true",
        ]
    );
    assert_eq!(
        lines(&charge, &payment)[1..3],
        [
            "plans.free.verify.by: charge -> payment",
            "plans.free.verify.credits: gone: 6.000000"
        ]
    );
    assert!(lines(&charge, &payment).contains(&"plans.free.verify.credits_paid: new: 10.000000".to_owned()));
}

#[test]
fn what_the_guide_shows_can_be_used() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/stripe.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let shown = guide.split("```toml\n").skip(1);
    let shown: Vec<&str> = shown.map(|rest| rest.split("```").next().unwrap()).collect();
    let [least, packs, top_up, plans, usage] = shown[..] else {
        panic!("{shown:?}");
    };
    let (_, pages) = packs.split_once("[stripe.checkout]").unwrap();
    let (pages, _) = pages.split_once("[[").unwrap();
    let plans = plans
        .replace(", \"POST /v1/chat/completions\"", "")
        .replace("GET /v1/models", "GET /m");
    let trial = read(&with_base(&format!("{least}\n[stripe.checkout]{pages}\n{plans}"))).unwrap();
    let free = &trial.plans[&PlanId::new("free").unwrap()];
    let verify = free.verify.as_ref().unwrap();
    assert_eq!((verify.by, verify.opens.as_str()), (Shown::Card, "trial"));
    let gift = verify.gift.unwrap();
    assert_eq!(gift.credits, "5".parse().unwrap());
    assert_eq!(gift.expires_after, Some(Span::from_secs(14 * 86_400)));
    let reporting = stripe(&format!("{}{usage}", least.replace("\"ledger\"", "\"grants\"")));
    assert_eq!(
        reporting.usage.as_ref().unwrap().every,
        std::time::Duration::from_secs(60)
    );
    let stripe = stripe(&format!("{least}{packs}{top_up}"));
    let caps = stripe.top_up.unwrap();
    assert_eq!((caps.charges_per_day, caps.charges_per_month), (3, 20));
    assert_eq!(stripe.pack("starter").unwrap().credits, "11".parse().unwrap());
    for (name, reaction) in stripe.on.all() {
        let row = guide
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` |")));
        let usual = format!("| `{}` |", reaction.as_str());
        assert!(row.is_some_and(|row| row.contains(&usual)), "{name}");
    }
}
