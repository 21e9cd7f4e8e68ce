//! What a journal must say for a book to follow from it.

use super::*;
use crate::domain::entry::Detail;
use crate::domain::grant::Grant;
use crate::domain::ids::{KeyDigest, PlanId};

fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000).plus(Span::from_secs(seconds))
}

fn account() -> AccountId {
    AccountId::new("acme").unwrap()
}

fn facts(id: &str, amount: &str, expires_at: Timestamp) -> GrantFacts {
    GrantFacts {
        id: GrantId::new(id).unwrap(),
        amount: credits(amount),
        priority: 50,
        category: Category::Paid,
        effective_at: at(0),
        expires_at,
        created_at: at(0),
        updated_at: at(0),
        voided_at: None,
        note: None,
    }
}

fn put(facts: GrantFacts) -> Command {
    Command::PutGrant {
        account: account(),
        detail: Note::by("test", "admin").grant(&facts).detail(),
        facts,
    }
}

fn hold(n: u8, seconds: i64) -> HoldId {
    HoldId::new(at(seconds).millis(), [n; 10])
}

fn admit(n: u8, seconds: i64, amount: &str, caller: &Arc<Caller>) -> Command {
    Command::Admit(Admit {
        hold: hold(n, seconds),
        caller: caller.clone(),
        least: credits(amount),
        most: credits(amount),
        tokens: 0,
        ttl: Span::from_secs(30),
        claim: None,
        detail: Note::by("proxy", "request").key(&caller.key).detail(),
    })
}

/// A history with a bit of everything: commands and when they came.
fn history() -> Vec<(i64, Command)> {
    let key = NewKey {
        id: KeyId::new("key_1").unwrap(),
        digest: KeyDigest([7; 32]),
        name: None,
        expires_at: Timestamp::NEVER,
        limits: Limits::NONE,
    };
    let caller = Arc::new(Caller {
        account: account(),
        key: key.id.clone(),
        key_expires_at: Timestamp::NEVER,
        key_limits: Limits::NONE,
        limits: Limits::NONE,
        credit_line: Credits::ZERO,
        version: 2,
    });
    let (create, detail) = (AccountChange::Create(PlanId::new("pro").ok()), Detail::none());
    let capture = |n, seconds, used| {
        Command::Capture(Capture {
            hold: hold(n, seconds),
            caller: caller.clone(),
            used: credits(used),
            detail: detail.clone(),
        })
    };
    let bought = GrantId::new("bought").unwrap();
    let last = GrantFacts {
        priority: 90,
        ..facts("bought", "10", Timestamp::NEVER)
    };
    vec![
        (
            0,
            Command::SetAccount {
                expected: None,
                account: account(),
                detail: Note::by("test", "admin").change(&create).detail(),
                change: create,
            },
        ),
        (
            1,
            Command::PutKey {
                account: account(),
                detail: Note::by("test", "admin").new_key(&key).detail(),
                key,
            },
        ),
        (2, put(facts("short", "5", at(20)))),
        (3, put(facts("long", "100", Timestamp::NEVER))),
        (4, admit(1, 4, "3", &caller)),
        (
            5,
            Command::Extend(Extend {
                hold: hold(1, 4),
                caller: caller.clone(),
                number: 1,
                least: credits("1"),
                most: credits("1"),
                ttl: Span::from_secs(100),
            }),
        ),
        (6, admit(2, 6, "2", &caller)),
        // It burns last.
        (7, put(last)),
        // What the short grant has left under the holds goes as they end: three entries of one command.
        (25, capture(1, 4, "2.5")),
        (
            60,
            Command::ExpireHold {
                account: account(),
                hold: hold(2, 6),
                on_expiry: OnExpiry::Release,
            },
        ),
        (61, capture(2, 6, "1")),
        (
            62,
            Command::Adjust {
                from: None,
                id: CommandId::new("fee").unwrap(),
                account: account(),
                amount: credits("-1"),
                detail: detail.clone(),
            },
        ),
        (
            63,
            Command::Adjust {
                id: CommandId::new("refund").unwrap(),
                account: account(),
                amount: credits("-7"),
                detail: Note::by("stripe", "webhook").from(&bought).detail(),
                from: Some(bought),
            },
        ),
        (
            64,
            put(GrantFacts {
                voided_at: Some(at(64)),
                updated_at: at(64),
                ..facts("long", "100", Timestamp::NEVER)
            }),
        ),
    ]
}

/// The book of the history, and its journal.
fn lived() -> (Book, Vec<Entry>) {
    let (mut state, mut journal) = (State::default(), Vec::new());
    for (seconds, command) in history() {
        let step = state.step(&command, at(seconds));
        assert!(
            matches!(step.outcome, Outcome::Applied(_)),
            "{command:?}: {step:?}"
        );
        journal.extend(entries(&step).cloned());
        state.commit(&step);
    }
    (state.remove_book(&account()).unwrap(), journal)
}

fn replayed(journal: &[Entry]) -> Result<Book, String> {
    let mut replay = Replay::new(account(), None, Credits::ZERO);
    for entry in journal {
        replay.take(entry.clone())?;
    }
    replay.finish()
}

#[test]
fn p4_the_journal_alone_gives_the_book() {
    let (book, journal) = lived();
    let again = replayed(&journal).unwrap();
    assert_eq!(again.account.balance(), book.account.balance());
    let grants = |book: &Book| -> Vec<Grant> { settled(book, at(100)).grants.values().cloned().collect() };
    assert_eq!(grants(&again), grants(&book));
    assert_eq!(again.grants["bought"].drawn, credits("7"), "from it, out of turn");
    assert_eq!(again.account.settings, book.account.settings);
    assert_eq!(again.keys.len(), 1);
    let charges =
        |book: &Book| -> Vec<_> { book.holds.values().map(|h| (h.id, h.state, h.charged)).collect() };
    assert_eq!(charges(&again), charges(&book));
}

#[test]
fn a_journal_in_which_an_amount_was_changed_gives_no_book() {
    let (_, journal) = lived();
    let change: [fn(&mut Entry); 4] = [
        |entry| entry.amount = entry.amount.saturating_add(Credits::from_micros(1).unwrap()),
        |entry| entry.held = entry.held.saturating_add(Credits::from_micros(1).unwrap()),
        |entry| entry.available = entry.available.saturating_sub(Credits::from_micros(1).unwrap()),
        |entry| entry.subject = "another".into(),
    ];
    for at in 0..journal.len() {
        // Settings have no amounts, and what their subjects say only a person understands; an adjustment's id is told nowhere else.
        let unknown = match journal[at].kind {
            EntryKind::Status => 4,
            EntryKind::Adjust => 1,
            _ => 0,
        };
        for (n, change) in change.iter().enumerate().take(4 - unknown) {
            let mut changed = journal.clone();
            change(&mut changed[at]);
            let found = replayed(&changed);
            assert!(found.is_err(), "change {n} of {}: {found:?}", shown(&journal[at]));
        }
    }
}

#[test]
fn a_journal_that_lacks_an_entry_or_has_one_twice_gives_no_book() {
    let (_, journal) = lived();
    for at in 0..journal.len() - 1 {
        // Settings said twice are said once; without the first of them there is no account.
        let settings = journal[at].kind == EntryKind::Status;
        if settings && at > 0 {
            continue;
        }
        let mut without = journal.clone();
        without.remove(at);
        assert!(replayed(&without).is_err(), "without {}", shown(&journal[at]));
        let mut twice = journal.clone();
        twice.insert(at, journal[at].clone());
        assert!(
            settings || replayed(&twice).is_err(),
            "twice {}",
            shown(&journal[at])
        );
    }
    // Cut within what one command wrote.
    let parts: Vec<_> = journal
        .windows(2)
        .map(|pair| pair[0].time == pair[1].time)
        .collect();
    let cut = parts.iter().position(|same| *same).unwrap();
    assert!(replayed(&journal[..=cut]).is_err());
    assert!(replayed(&[]).is_err());
}
