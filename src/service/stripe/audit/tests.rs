use super::snapshot::{Endpoint, Invoice, Item, Meter, Part, Subscription};
use super::*;
use crate::config::Secret;
use crate::config::stripe::{AfterLast, FailFast, Mode, Reaction, Usage};
use crate::service::stripe::WEBHOOK;
use crate::service::stripe::harden::{Asked, plan};
use crate::stripe::client::API_VERSION;
use crate::stripe::facts::HEARD;

const ASKED: Asked<'static> = Asked {
    url: None,
    usage_gte: None,
    because: "1",
};

/// As an operator writes them.
fn settings(mode: Mode) -> Stripe {
    let text = format!(
        r#"
[upstreams.models]
url = "http://127.0.0.1:9"
[[routes]]
match = "POST /v1/rerank"
upstream = "models"
cost = 1
[stripe]
mode = "{}"
webhook_secrets = ["whsec_1"]
api_key = "rk_live_1"
livemode = true
account = "acct_1"
credits_per_unit = {{ usd = 1 }}
[stripe.fail_fast]
attempts_max = 1
{}
"#,
        mode.as_str(),
        match mode {
            Mode::Grants => "[stripe.usage]\nevent_name = \"credits\"",
            Mode::Ledger => "",
        }
    );
    let files = |_: &std::path::Path| Err(std::io::Error::other("none"));
    let config = crate::config::parse(&text, &|_| None, &files).unwrap();
    Stripe::clone(config.stripe.as_ref().unwrap())
}

fn part<T>(items: Vec<T>) -> Part<T> {
    Part { items, more: false }
}

fn endpoint(id: &str, url: &str) -> Endpoint {
    Endpoint {
        id: id.to_owned(),
        url: url.to_owned(),
        enabled: true,
        events: HEARD.map(str::to_owned).to_vec(),
        api_version: Some(API_VERSION.to_owned()),
    }
}

fn subscription() -> Subscription {
    Subscription {
        id: "sub_1".into(),
        status: "active".into(),
        collection_paused: false,
        currency: "usd".into(),
        items: vec![Item {
            id: "si_1".into(),
            metered: true,
            meter: Some("mtr_1".into()),
            threshold: true,
        }],
        more: false,
    }
}

fn meter() -> Meter {
    Meter {
        id: "mtr_1".into(),
        event_name: "credits".into(),
        formula: "sum".into(),
        window: None,
    }
}

/// Nothing wrong with it.
fn snapshot() -> Snapshot {
    let url = format!("https://gate.example{WEBHOOK}");
    Snapshot {
        account: Ok("acct_1".into()),
        endpoints: Ok(part(vec![
            endpoint("we_1", &url),
            endpoint("we_2", "https://other.example/hook"),
        ])),
        subscriptions: Ok(part(vec![subscription()])),
        invoices: Ok(part(vec![Invoice {
            id: "in_1".into(),
            attempts: 1,
            auto_advance: false,
        }])),
        meters: Some(Ok(part(vec![meter()]))),
        rights: vec![("Events", Ok(())), ("Payment intents", Ok(()))],
    }
}

fn of(standing: Standing, findings: &[Finding]) -> Vec<&'static str> {
    let found = findings.iter().filter(|one| one.standing == standing);
    found.map(|one| one.check).collect()
}

/// What is there besides the reminders that are always there.
fn beyond_the_usual(findings: &[Finding]) -> Vec<(Standing, &'static str)> {
    let usual = |one: &&Finding| !matches!(one.check, "dashboard" | "key.writes");
    let findings = findings.iter().filter(usual);
    findings
        .filter(|one| one.standing != Standing::Good)
        .map(|one| (one.standing, one.check))
        .collect()
}

fn first<T>(seen: &mut super::snapshot::Seen<Part<T>>) -> &mut T {
    &mut seen.as_mut().unwrap().items[0]
}

#[test]
fn where_all_is_well_only_what_nobody_can_see_is_named() {
    for mode in [Mode::Grants, Mode::Ledger] {
        let found = findings(&snapshot(), &settings(mode));
        assert_eq!(beyond_the_usual(&found), [], "{mode:?}");
        assert_eq!(of(Standing::Reminder, &found).len(), 7);
        for check in [
            "endpoint.events",
            "key.kind",
            "key.right",
            "settings.on",
            "subscription",
        ] {
            assert!(of(Standing::Good, &found).contains(&check), "{check}");
        }
        let left = plan(&snapshot(), &settings(mode), &ASKED).unwrap();
        assert_eq!((left.changes.len(), left.left.len()), (0, 7));
    }
}

type Spoil = fn(&mut Snapshot, &mut Stripe);

/// What is spoilt, and what is found.
const SPOILT: &[(Standing, &str, Spoil)] = &[
    (Standing::Risk, "endpoint.enabled", |s, _| {
        first(&mut s.endpoints).url = "https://gate.example/other".into();
    }),
    (Standing::Risk, "endpoint.enabled", |s, _| {
        s.endpoints = Ok(part(Vec::new()));
    }),
    (Standing::Risk, "endpoint.enabled", |s, _| {
        first(&mut s.endpoints).enabled = false;
    }),
    (Standing::Risk, "endpoint.events", |s, _| {
        first(&mut s.endpoints)
            .events
            .retain(|kind| kind != "invoice.paid");
    }),
    (Standing::Risk, "endpoint.version", |s, _| {
        first(&mut s.endpoints).api_version = Some("2025-09-30.clover".into());
    }),
    (Standing::Risk, "endpoint.version", |s, _| {
        first(&mut s.endpoints).api_version = None;
    }),
    (Standing::Risk, "endpoint.duplicate", |s, _| {
        let mut twin = first(&mut s.endpoints).clone();
        twin.id = "we_3".into();
        s.endpoints.as_mut().unwrap().items.push(twin);
    }),
    (Standing::Reminder, "endpoint.unseen", |s, _| {
        s.endpoints = Err("no rak_webhook_read".into());
    }),
    (Standing::Risk, "key.kind", |_, c| {
        c.api_key = Some(Secret::new("sk_live_1"));
    }),
    (Standing::Risk, "key.mode", |_, c| {
        c.api_key = Some(Secret::new("rk_test_1"));
    }),
    (Standing::Reminder, "key.mode", |_, c| {
        c.api_key = Some(Secret::new("rk_1"));
    }),
    (Standing::Risk, "key.account", |s, _| {
        s.account = Ok("acct_2".into());
    }),
    (Standing::Reminder, "key.account", |_, c| c.account = None),
    (Standing::Reminder, "key.account", |s, _| {
        s.account = Err("no".into());
    }),
    (Standing::Risk, "key.right", |s, _| {
        s.rights[0].1 = Err("needs rak_event_read".into());
    }),
    (Standing::Risk, "key.right", |s, _| {
        s.subscriptions = Err("no".into());
    }),
    (Standing::Risk, "key.right", |s, _| {
        s.invoices = Err("no".into());
    }),
    (Standing::Risk, "key.right", |s, _| {
        s.meters = Some(Err("no".into()));
    }),
    (Standing::Risk, "subscription.threshold", |s, _| {
        first(&mut s.subscriptions).items[0].threshold = false;
    }),
    (Standing::Reminder, "subscription.collection", |s, _| {
        first(&mut s.subscriptions).collection_paused = true;
    }),
    (Standing::Risk, "subscription.currency", |s, _| {
        first(&mut s.subscriptions).currency = "eur".into();
    }),
    (Standing::Reminder, "list.partial", |s, _| {
        s.subscriptions.as_mut().unwrap().more = true;
    }),
    (Standing::Reminder, "list.partial", |s, _| {
        first(&mut s.subscriptions).more = true;
    }),
    (Standing::Reminder, "list.partial", |s, _| {
        s.invoices.as_mut().unwrap().more = true;
    }),
    (Standing::Risk, "invoice.retries", |s, _| {
        first(&mut s.invoices).auto_advance = true;
    }),
    (Standing::Risk, "meter.sum", |s, _| {
        s.meters = Some(Ok(part(Vec::new())));
    }),
    (Standing::Risk, "meter.sum", |s, _| {
        first(s.meters.as_mut().unwrap()).formula = "last".into();
    }),
    (Standing::Risk, "meter.window", |s, _| {
        first(s.meters.as_mut().unwrap()).window = Some("hour".into());
    }),
    (Standing::Risk, "meter.reported", |_, c| {
        c.usage = Some(usage("tokens"));
    }),
    (Standing::Risk, "settings.fail_fast", |_, c| c.fail_fast = None),
    (Standing::Risk, "settings.usage", |_, c| c.usage = None),
    (Standing::Risk, "settings.sync", |_, c| c.sync_every = None),
    (Standing::Risk, "settings.on", |_, c| {
        c.on.dispute = Reaction::IGNORE;
    }),
    (Standing::Reminder, "settings.livemode", |_, c| {
        c.livemode = false;
        c.api_key = Some(Secret::new("rk_test_1"));
    }),
];

#[test]
fn each_fault_is_found_by_its_check_and_by_no_other() {
    for (number, (standing, check, spoil)) in SPOILT.iter().enumerate() {
        let (mut spoilt, mut config) = (snapshot(), settings(Mode::Grants));
        spoil(&mut spoilt, &mut config);
        let found = findings(&spoilt, &config);
        assert_eq!(
            beyond_the_usual(&found),
            [(*standing, *check)],
            "{number}: {found:#?}"
        );
        let bad = found.iter().filter(|one| one.standing != Standing::Good);
        for one in bad {
            let texts = [&one.what, &one.found, &one.wanted, &one.risk, &one.fix];
            assert!(texts.iter().all(|text| !text.is_empty()), "{one:?}");
            assert!(!one.risk.contains('\n'));
        }
    }
}

#[test]
fn what_belongs_to_grants_is_nothing_in_mode_ledger() {
    let mut spoilt = snapshot();
    first(&mut spoilt.subscriptions).items[0].threshold = false;
    first(&mut spoilt.endpoints)
        .events
        .retain(|kind| !kind.starts_with("billing."));
    spoilt.meters = None;
    assert_eq!(beyond_the_usual(&findings(&spoilt, &settings(Mode::Ledger))), []);
    let found = findings(&spoilt, &settings(Mode::Grants));
    assert_eq!(
        of(Standing::Risk, &found),
        ["endpoint.events", "subscription.threshold"]
    );
}

#[test]
fn where_a_subscription_shuts_nobody_its_troubles_are_risks() {
    let mut config = settings(Mode::Ledger);
    config.on.subscription = Reaction::IGNORE;
    for status in ["past_due", "unpaid", "incomplete"] {
        let mut spoilt = snapshot();
        first(&mut spoilt.subscriptions).status = status.into();
        assert_eq!(
            beyond_the_usual(&findings(&spoilt, &settings(Mode::Ledger))),
            [],
            "{status}"
        );
        let found = findings(&spoilt, &config);
        assert_eq!(
            of(Standing::Risk, &found),
            ["subscription.status", "settings.on"],
            "{status}"
        );
    }
    let mut spoilt = snapshot();
    first(&mut spoilt.subscriptions).collection_paused = true;
    assert!(of(Standing::Risk, &findings(&spoilt, &config)).contains(&"subscription.collection"));
}

#[test]
fn an_invoice_may_be_tried_as_often_as_fail_fast_says() {
    let mut config = settings(Mode::Ledger);
    for (attempts_max, attempts, risk) in [
        (Some(2), 1, false),
        (Some(2), 2, true),
        (Some(8), 3, false),
        (None, 0, false),
        (None, 1, true),
    ] {
        config.fail_fast = attempts_max.map(|attempts_max| FailFast {
            attempts_max,
            after_last: AfterLast::Keep,
        });
        let mut spoilt = snapshot();
        let invoice = first(&mut spoilt.invoices);
        (invoice.attempts, invoice.auto_advance) = (attempts, true);
        let found = findings(&spoilt, &config);
        let told = of(Standing::Risk, &found).contains(&"invoice.retries");
        assert_eq!(told, risk, "{attempts_max:?} {attempts}");
    }
}

#[test]
fn of_several_endpoints_the_enabled_ones_count() {
    let url = format!("https://gate.example{WEBHOOK}?v=1");
    let mut old = endpoint("we_0", &url);
    (old.enabled, old.api_version, old.events) = (false, None, Vec::new());
    let mut spoilt = snapshot();
    spoilt.endpoints.as_mut().unwrap().items.insert(0, old);
    assert_eq!(beyond_the_usual(&findings(&spoilt, &settings(Mode::Grants))), []);
    let mut all_of_them = snapshot();
    first(&mut all_of_them.endpoints).events = vec!["*".into()];
    assert_eq!(
        beyond_the_usual(&findings(&all_of_them, &settings(Mode::Grants))),
        []
    );
}

#[test]
fn a_meter_of_another_product_is_none_of_ours() {
    let mut spoilt = snapshot();
    let other = Meter {
        id: "mtr_2".into(),
        formula: "count".into(),
        ..meter()
    };
    let meters = spoilt.meters.as_mut().unwrap().as_mut().unwrap();
    meters.items.push(other);
    assert_eq!(beyond_the_usual(&findings(&spoilt, &settings(Mode::Grants))), []);
    // Nobody has subscribed yet: all count.
    spoilt.subscriptions = Ok(part(Vec::new()));
    assert_eq!(
        beyond_the_usual(&findings(&spoilt, &settings(Mode::Grants))),
        [(Standing::Risk, "meter.sum")]
    );
}

fn usage(event_name: &str) -> Usage {
    Usage {
        event_name: event_name.into(),
        every: std::time::Duration::from_secs(60),
        invoice_at: None,
    }
}

#[test]
fn usage_that_goes_to_a_meter_is_good() {
    let mut config = settings(Mode::Grants);
    config.usage = Some(usage("credits"));
    let found = findings(&snapshot(), &config);
    assert_eq!(beyond_the_usual(&found), []);
    assert!(of(Standing::Good, &found).contains(&"meter.reported"));
}

fn operations(snapshot: &Snapshot, asked: &Asked<'_>) -> Vec<String> {
    let plan = plan(snapshot, &settings(Mode::Grants), asked).unwrap();
    let changes = plan.changes.iter();
    changes
        .map(|change| format!("{} {}", change.call.path(), change.call.form().encode()))
        .collect()
}

#[test]
fn what_harden_would_do_keeps_what_there_is() {
    let mut spoilt = snapshot();
    let one = first(&mut spoilt.endpoints);
    one.enabled = false;
    one.events = vec!["charge.updated".into(), "invoice.paid".into()];
    let calls = operations(&spoilt, &ASKED);
    assert_eq!(calls[0], "/v1/webhook_endpoints/we_1 disabled=false");
    assert!(calls[1].starts_with(
        "/v1/webhook_endpoints/we_1 enabled_events%5B0%5D=charge.updated&enabled_events%5B1%5D=invoice.paid&"
    ));
    assert_eq!(calls[1].matches("invoice.paid").count(), 1);
    assert_eq!(calls[1].matches("enabled_events").count(), HEARD.len() + 1);
    assert_eq!(calls.len(), 2);
}

#[test]
fn what_nobody_has_said_is_left() {
    let mut spoilt = snapshot();
    first(&mut spoilt.subscriptions).items[0].threshold = false;
    spoilt.endpoints = Ok(part(Vec::new()));
    assert_eq!(operations(&spoilt, &ASKED), Vec::<String>::new());
    let left = plan(&spoilt, &settings(Mode::Grants), &ASKED).unwrap().left;
    assert!(left.iter().any(|left| left.fix.contains("--usage-gte")));
    assert!(left.iter().any(|left| left.fix.contains("--url")));
    let url = "https://gate.example/faregate/stripe/webhook";
    let asked = Asked {
        url: Some(url),
        usage_gte: Some(500),
        because: "1",
    };
    let calls = operations(&spoilt, &asked);
    assert!(calls[0].starts_with("/v1/webhook_endpoints url=https"));
    assert_eq!(
        calls[1],
        "/v1/subscription_items/si_1 billing_thresholds%5Busage_gte%5D=500"
    );
    // It is there now; or nobody can see whether it is.
    assert_eq!(operations(&snapshot(), &asked), Vec::<String>::new());
    spoilt.endpoints = Err("no".into());
    assert_eq!(operations(&spoilt, &asked).len(), 1);
}
