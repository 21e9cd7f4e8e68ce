//! What holds of every call.

use std::sync::Arc;

use redis::{Arg, Cmd};

use super::calls::{self, Context, Operation};
use super::encode;
use super::script::{Rendering, Script, Scripts};
use crate::domain::command::{AccountChange, Admit, Capture, Command, Extend, NewKey, Release, Renew};
use crate::domain::credits::Credits;
use crate::domain::entry::Detail;
use crate::domain::grant::{Category, GrantFacts};
use crate::domain::hold::OnExpiry;
use crate::domain::ids::{AccountId, CommandId, GrantId, HoldId, KeyDigest, KeyId};
use crate::domain::key::Caller;
use crate::domain::limits::Limits;
use crate::domain::time::{Span, Timestamp};

const PARTITIONS: u32 = 64;

const CONTEXT: Context = Context { stamp: 1, time: None };

fn caller(account: &AccountId) -> Arc<Caller> {
    let capped = Limits {
        concurrent: Some(1),
        ..Limits::NONE
    };
    Arc::new(Caller {
        account: account.clone(),
        key: KeyId::new("key_1").unwrap(),
        key_expires_at: Timestamp::NEVER,
        key_limits: capped,
        limits: capped,
        credit_line: Credits::ZERO,
        version: 1,
    })
}

fn of_holds(account: &AccountId, caller: &Arc<Caller>) -> Vec<Command> {
    // Sixteen bytes that look like the end of a hash tag, and its beginning.
    let (hold, ttl, amount) = (HoldId::new(1, [b'}'; 10]), Span::from_secs(1), Credits::ZERO);
    let (account, caller, detail) = (account.clone(), caller.clone(), Detail::none());
    vec![
        Command::Admit(Admit {
            hold,
            caller: caller.clone(),
            least: amount,
            most: amount,
            tokens: 0,
            ttl,
            claim: None,
            detail: detail.clone(),
        }),
        Command::Extend(Extend {
            hold,
            caller: caller.clone(),
            number: 1,
            least: amount,
            most: amount,
            ttl,
        }),
        Command::Renew(Renew {
            hold,
            account: account.clone(),
            ttl,
        }),
        Command::Capture(Capture {
            hold,
            caller: caller.clone(),
            used: amount,
            detail: detail.clone(),
        }),
        Command::Release(Release { hold, caller, detail }),
        Command::ExpireHold {
            account,
            hold,
            on_expiry: OnExpiry::Release,
        },
    ]
}

fn of_accounts(account: &AccountId) -> Vec<Command> {
    let (account, detail, key) = (account.clone(), Detail::none(), KeyId::new("key_1").unwrap());
    let never = Timestamp::NEVER;
    let facts = GrantFacts {
        id: GrantId::new("g").unwrap(),
        amount: Credits::MAX,
        priority: 1,
        category: Category::Paid,
        effective_at: never,
        expires_at: never,
        created_at: never,
        updated_at: never,
        voided_at: None,
        note: None,
    };
    let new_key = NewKey {
        id: key.clone(),
        digest: KeyDigest([b'{'; 32]),
        name: None,
        expires_at: never,
        limits: caller(&account).limits,
    };
    vec![
        Command::PutGrant {
            account: account.clone(),
            facts,
            detail: detail.clone(),
        },
        Command::Adjust {
            from: None,
            id: CommandId::new("a").unwrap(),
            account: account.clone(),
            amount: Credits::MAX,
            detail: detail.clone(),
        },
        Command::SetAccount {
            expected: None,
            account: account.clone(),
            change: AccountChange::Create(None),
            detail: detail.clone(),
        },
        Command::PutKey {
            account: account.clone(),
            key: new_key,
            detail: detail.clone(),
        },
        Command::RevokeKey {
            account: account.clone(),
            key,
            detail,
        },
        Command::ApplyDue { account },
    ]
}

/// The tags of a script's keys: what lies between their first brace and the next.
fn tags(cmd: &Cmd) -> Vec<String> {
    let args: Vec<&[u8]> = cmd
        .args_iter()
        .map(|arg| match arg {
            Arg::Simple(bytes) => bytes,
            _ => panic!("no argument of ours"),
        })
        .collect();
    let count: usize = std::str::from_utf8(args[2]).unwrap().parse().unwrap();
    let keys = args[3..3 + count].iter().map(|key| String::from_utf8_lossy(key));
    keys.map(|key| {
        let (_, rest) = key.split_once('{').expect("a hash tag");
        rest.split_once('}').expect("a whole hash tag").0.to_owned()
    })
    .collect()
}

#[test]
fn b14_all_keys_of_a_call_carry_one_tag() {
    let scripts = Scripts::new(Rendering::default());
    let mut by_partition: std::collections::BTreeMap<u32, Vec<Operation>> = Default::default();
    for n in 0..200 {
        let account = AccountId::new(&format!("account-{n}/team")).unwrap();
        let caller = caller(&account);
        for command in of_holds(&account, &caller)
            .into_iter()
            .chain(of_accounts(&account))
        {
            let (script, operation) = encode::operation(&command, PARTITIONS, None);
            let alone = if script == Script::Hot {
                Script::Full
            } else {
                script
            };
            let tags = tags(&calls::one(&scripts, alone, CONTEXT, &operation, 0));
            let own = operation.partition.to_string();
            assert!(tags.iter().all(|tag| *tag == own), "{command:?}: {tags:?}");
            if script == Script::Hot {
                by_partition
                    .entry(operation.partition)
                    .or_default()
                    .push(operation);
            }
        }
    }
    // What a cluster's lane puts together is of one partition.
    for (partition, operations) in by_partition {
        let tags = tags(&calls::hot(&scripts, CONTEXT, operations.iter(), |_| 0));
        assert!(tags.iter().all(|tag| *tag == partition.to_string()), "{tags:?}");
    }
}
