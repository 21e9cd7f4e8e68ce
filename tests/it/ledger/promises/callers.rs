//! Whose word counts.

use faregate::domain::account::REASONS_MAX;
use faregate::domain::command::{AccountChange, Admit, Command, Extend, Outcome};
use faregate::domain::entry::Detail;
use faregate::domain::ids::{KeyDigest, KeyId, PlanId, Reason};
use faregate::domain::key::KEYS_MAX;
use faregate::domain::limits::Limits;
use faregate::domain::refusal::Refusal;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::Ledger;
use sha2::{Digest, Sha256};

use crate::ledger::fixture::TestClock;
use crate::ledger::moves::micros;
use crate::ledger::teller::{Teller, applied, key, refused, replayed};

fn reason(text: &str) -> Reason {
    Reason::new(text).unwrap()
}

/// An account with 100, and an admit by a caller as known now.
async fn cached<'a>(ledger: &'a dyn Ledger, clock: &'a dyn TestClock) -> (Teller<'a>, Admit) {
    let teller = Teller::open(ledger, clock, "acme").await;
    teller.grant("g", micros(100)).await;
    let admit = teller.admit_command(micros(1)).await;
    (teller, admit)
}

/// The cached admit with a new id.
async fn ask(teller: &Teller<'_>, admit: &Admit) -> Outcome {
    let hold = teller.new_hold();
    let caller = admit.caller.clone();
    teller
        .execute(&Command::Admit(Admit {
            hold,
            caller,
            ..admit.clone()
        }))
        .await
}

pub(crate) async fn a_revoked_key_stops_at_once(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let (teller, admit) = cached(ledger, clock).await;
    applied(&ask(&teller, &admit).await);
    applied(&teller.revoke(0).await);
    assert_eq!(refused(ask(&teller, &admit).await), Refusal::Stale);
    let identity = ledger.identify(&teller.digest(0)).await.unwrap().unwrap();
    assert_eq!(identity.key_revoked_at, Some(clock.now()));
    clock.advance(Span::from_secs(5));
    replayed(&teller.revoke(0).await);
    let again = ledger.identify(&teller.digest(0)).await.unwrap().unwrap();
    assert_eq!(again, identity, "the first time counts");
    // For good: it is not made anew.
    replayed(&teller.put_key(0, Limits::NONE, Timestamp::NEVER).await);
    let again = ledger.identify(&teller.digest(0)).await.unwrap().unwrap();
    assert_eq!(again, identity);
    teller.prove().await;
}

pub(crate) async fn a_paused_account_stops_at_once_and_reasons_are_kept_apart(
    ledger: &dyn Ledger,
    clock: &dyn TestClock,
) {
    let (teller, admit) = cached(ledger, clock).await;
    let (failed, dispute) = (reason("invoice:in_1"), reason("dispute:dp_1"));
    applied(&teller.set(AccountChange::Pause(failed.clone())).await);
    assert_eq!(refused(ask(&teller, &admit).await), Refusal::Stale);
    applied(&teller.set(AccountChange::Pause(dispute.clone())).await);
    let reasons = async || {
        let identity = ledger.identify(&teller.digest(0)).await.unwrap().unwrap();
        identity.reasons
    };
    assert_eq!(reasons().await, [dispute.clone(), failed.clone()]);
    applied(&teller.set(AccountChange::Resume(failed)).await);
    assert_eq!(reasons().await, std::slice::from_ref(&dispute));
    applied(&teller.set(AccountChange::Resume(dispute)).await);
    assert_eq!(reasons().await, []);
    assert_eq!(refused(ask(&teller, &admit).await), Refusal::Stale);
    applied(&teller.try_hold(micros(1)).await.1);
    // Holds opened before a pause settle all the same.
    let hold = teller.hold(micros(5)).await;
    applied(&teller.set(AccountChange::Pause(reason("manual"))).await);
    assert_eq!(
        refused(teller.set_many(REASONS_MAX).await),
        Refusal::OutOfRange("the number of reasons")
    );
    applied(&teller.capture(hold, micros(5)).await);
    teller.prove().await;
}

impl Teller<'_> {
    /// Pauses the account for so many reasons; returns the last answer.
    async fn set_many(&self, many: usize) -> Outcome {
        let mut last = None;
        for n in 0..many {
            last = Some(self.set(AccountChange::Pause(reason(&format!("r:{n}")))).await);
        }
        last.unwrap()
    }
}

pub(crate) async fn a_changed_plan_or_cap_is_noticed(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let (teller, _) = cached(ledger, clock).await;
    let pro = PlanId::new("pro").unwrap();
    let caps = Limits {
        requests_per_minute: Some(3),
        tokens_per_minute: Some(1_000),
        concurrent: Some(2),
        spend_per_day: Some(micros(50)),
        spend_per_month: Some(micros(500)),
    };
    for change in [
        AccountChange::Plan(Some(pro.clone())),
        AccountChange::Limits(caps),
        AccountChange::Plan(None),
        AccountChange::Limits(Limits::NONE),
    ] {
        let admit = teller.admit_command(micros(1)).await;
        applied(&teller.set(change.clone()).await);
        assert_eq!(refused(ask(&teller, &admit).await), Refusal::Stale, "{change:?}");
        let identity = ledger.identify(&teller.digest(0)).await.unwrap().unwrap();
        match change {
            AccountChange::Plan(plan) => assert_eq!(identity.plan, plan),
            AccountChange::Limits(limits) => assert_eq!(identity.limits, limits),
            _ => unreachable!(),
        }
    }
    let admit = teller.admit_command(micros(1)).await;
    applied(&teller.put_key(1, caps, Timestamp::NEVER).await);
    assert_eq!(refused(ask(&teller, &admit).await), Refusal::Stale, "a new key");
    teller.prove().await;
}

pub(crate) async fn an_expired_key_stops(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let (teller, _) = cached(ledger, clock).await;
    let end = clock.now().plus(Span::from_secs(10));
    applied(&teller.put_key(1, Limits::NONE, end).await);
    let admit = Admit {
        caller: teller.caller(1).await,
        ..teller.admit_command(micros(1)).await
    };
    clock.advance(Span::from_micros(9_999_999));
    applied(&ask(&teller, &admit).await);
    let extend = |number| {
        Command::Extend(Extend {
            hold: admit.hold,
            caller: admit.caller.clone(),
            number,
            least: micros(1),
            most: micros(1),
            ttl: Span::from_secs(60),
        })
    };
    applied(&teller.execute(&Command::Admit(admit.clone())).await);
    applied(&teller.execute(&extend(1)).await);
    clock.advance(Span::from_micros(1));
    assert_eq!(refused(ask(&teller, &admit).await), Refusal::KeyExpired);
    assert_eq!(refused(teller.execute(&extend(2)).await), Refusal::KeyExpired);
    applied(&teller.try_hold(micros(1)).await.1);
    teller.prove().await;
}

pub(crate) async fn a_settled_charge_needs_no_current_caller(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let (teller, _) = cached(ledger, clock).await;
    let (charged, dropped) = (teller.hold(micros(10)).await, teller.hold(micros(5)).await);
    applied(&teller.revoke(0).await);
    applied(&teller.set(AccountChange::Pause(reason("dispute:dp_1"))).await);
    applied(&teller.renew(charged).await);
    assert_eq!(
        refused(teller.extend_as_cached(charged).await),
        Refusal::Stale,
        "but no more credits"
    );
    applied(&teller.capture(charged, micros(10)).await);
    applied(&teller.release(dropped).await);
    teller.prove().await;
}

impl Teller<'_> {
    async fn extend_as_cached(&self, hold: faregate::domain::ids::HoldId) -> Outcome {
        self.execute(&Command::Extend(faregate::domain::command::Extend {
            hold,
            caller: self.anyone(),
            number: 1,
            least: micros(1),
            most: micros(1),
            ttl: Span::from_secs(60),
        }))
        .await
    }
}

pub(crate) async fn settings_said_twice_change_nothing(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let (teller, admit) = cached(ledger, clock).await;
    let before = teller.picture().await;
    let plan = PlanId::new("pro").unwrap();
    for change in [
        AccountChange::Create(None),
        // An account that is there keeps its plan.
        AccountChange::Create(Some(plan.clone())),
        AccountChange::Resume(reason("manual")),
        AccountChange::Plan(None),
        AccountChange::Limits(Limits::NONE),
    ] {
        replayed(&teller.set(change).await);
    }
    assert_eq!(teller.picture().await, before);
    applied(&ask(&teller, &admit).await);
    let planned = Teller::of(ledger, clock, "planned");
    applied(&planned.set(AccountChange::Create(Some(plan.clone()))).await);
    assert_eq!(planned.statement().await.account.settings.plan, Some(plan));
}

pub(crate) async fn a_decision_on_an_older_version_is_outdated(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::of(ledger, clock, "acme");
    let set = |expected, change| Command::SetAccount {
        account: teller.account.clone(),
        expected: Some(expected),
        change,
        detail: Detail::none(),
    };
    let pause = |text| AccountChange::Pause(reason(text));
    let unknown = teller.execute(&set(0, pause("manual"))).await;
    assert_eq!(refused(unknown), Refusal::UnknownAccount);
    let create = |expected| set(expected, AccountChange::Create(None));
    assert_eq!(refused(teller.execute(&create(1)).await), Refusal::Outdated);
    applied(&teller.execute(&create(0)).await);
    let version = async || teller.statement().await.account.version;
    let first = version().await;
    let paused = set(first, pause("invoice:in_1"));
    applied(&teller.execute(&paused).await);
    // Whoever was slow must look again; but what is so already is no question of versions, so that a lost answer can be asked for.
    let late = [
        pause("dispute:dp_1"),
        AccountChange::Resume(reason("invoice:in_1")),
        AccountChange::Plan(PlanId::new("pro").ok()),
        AccountChange::Limits(Limits {
            concurrent: Some(1),
            ..Limits::NONE
        }),
    ];
    let before = teller.picture().await;
    for expected in [0, first, first + 2, u64::from(u32::MAX), u64::MAX] {
        for change in &late {
            let outcome = teller.execute(&set(expected, change.clone())).await;
            assert_eq!(refused(outcome), Refusal::Outdated, "{expected} {change:?}");
        }
        replayed(&teller.execute(&set(expected, pause("invoice:in_1"))).await);
        replayed(&teller.execute(&create(expected)).await);
    }
    assert_eq!(teller.picture().await, before);
    for change in late {
        applied(&teller.execute(&set(version().await, change)).await);
    }
    teller.prove().await;
}

pub(crate) async fn a_key_belongs_to_one_account(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let (teller, _) = cached(ledger, clock).await;
    let rival = Teller::open(ledger, clock, "rival").await;
    let Command::PutKey {
        key: mine, detail, ..
    } = teller.key_command(0, Limits::NONE, Timestamp::NEVER)
    else {
        unreachable!()
    };
    let stolen = Command::PutKey {
        account: rival.account.clone(),
        key: faregate::domain::command::NewKey {
            id: key(5),
            ..mine.clone()
        },
        detail: detail.clone(),
    };
    assert_eq!(refused(rival.execute(&stolen).await), Refusal::IdConflict);
    // The same digest under another name is another key, in its own account too.
    let renamed = Command::PutKey {
        account: teller.account.clone(),
        key: faregate::domain::command::NewKey { id: key(5), ..mine },
        detail,
    };
    assert_eq!(refused(teller.execute(&renamed).await), Refusal::IdConflict);
    let identity = ledger.identify(&teller.digest(0)).await.unwrap().unwrap();
    assert_eq!((identity.account, identity.key), (teller.account, key(0)));
    rival.prove().await;
}

pub(crate) async fn an_account_has_so_many_keys_and_no_more(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let teller = Teller::of(ledger, clock, "acme");
    teller.create().await;
    let key = |n: usize| Command::PutKey {
        account: teller.account.clone(),
        key: faregate::domain::command::NewKey {
            id: KeyId::new(&format!("key_{n}")).unwrap(),
            digest: KeyDigest(Sha256::digest(n.to_le_bytes()).into()),
            name: None,
            expires_at: Timestamp::NEVER,
            limits: Limits::NONE,
        },
        detail: Detail::none(),
    };
    for n in 0..KEYS_MAX {
        applied(&teller.execute(&key(n)).await);
    }
    // Revoked ones count, since their names stay.
    applied(&teller.revoke(0).await);
    let full = Refusal::OutOfRange("the number of keys");
    assert_eq!(refused(teller.execute(&key(KEYS_MAX)).await), full);
    replayed(&teller.execute(&key(KEYS_MAX - 1)).await);
    let other = Teller::open(ledger, clock, "other").await;
    let Command::PutKey { key, detail, .. } = key(KEYS_MAX) else {
        unreachable!()
    };
    let account = other.account.clone();
    applied(&other.execute(&Command::PutKey { account, key, detail }).await);
    teller.prove().await;
}

pub(crate) async fn a_key_that_was_refused_may_become_anothers(ledger: &dyn Ledger, clock: &dyn TestClock) {
    let (teller, _) = cached(ledger, clock).await;
    let other = Teller::open(ledger, clock, "other").await;
    // The account's first key's name with a digest that nobody has: refused, so that digest still is nobody's.
    let digest = teller.digest(7);
    let named = |account: &Teller<'_>, id: u8| Command::PutKey {
        account: account.account.clone(),
        key: faregate::domain::command::NewKey {
            id: key(id),
            digest,
            name: None,
            expires_at: Timestamp::NEVER,
            limits: Limits::NONE,
        },
        detail: Detail::none(),
    };
    assert_eq!(
        refused(teller.execute(&named(&teller, 0)).await),
        Refusal::IdConflict
    );
    let nobody = Teller::of(ledger, clock, "nobody");
    assert_eq!(
        refused(nobody.execute(&named(&nobody, 7)).await),
        Refusal::UnknownAccount
    );
    applied(&other.execute(&named(&other, 7)).await);
    let identity = ledger.identify(&digest).await.unwrap().unwrap();
    assert_eq!((identity.account, identity.key), (other.account.clone(), key(7)));
    assert_eq!(
        refused(teller.execute(&named(&teller, 8)).await),
        Refusal::IdConflict
    );
    other.prove().await;
}
