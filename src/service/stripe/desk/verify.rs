//! How the steps towards the next plan are done.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;

use crate::domain::command::AccountChange;
use crate::domain::ids::{AccountId, PlanId};
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::detail::Note;
use crate::ledger::memos::{Memo, MemoName, Wrote};
use crate::service::request_ids::kernel_entropy;
use crate::stripe::api;
use crate::stripe::facts::card;

use super::super::memo::{Document, Done, Rules};
use super::super::verify::proof::{CARD, EMAIL, Proof, SETUP};
use super::super::verify::{Came, Standing, Step, VerifyMemo};
use super::settle::{Ended, Tried};
use super::wants::ACTOR;
use super::{Desk, TRIES};

/// Which account a person's trial is.
#[derive(Serialize, Deserialize)]
struct Person {
    account: String,
}

/// What marks are hashed with.
#[derive(Serialize, Deserialize)]
struct Secret {
    key: String,
}

impl Desk {
    pub(super) async fn verifying(
        &self,
        name: &MemoName,
        step: &Step,
        rules: &Rules,
        api: bool,
    ) -> Result<Tried, LedgerError> {
        match step {
            Step::Card { of, customer } => self.card(name, of, customer.as_deref()).await,
            Step::Prove { account, id, proof } => {
                self.note_shown(account, |memo| memo.prove(id, proof)).await?;
                Box::pin(self.settle(&self.verify_name(account)?, api)).await?;
                Ok(done())
            }
            Step::Bought {
                account,
                payment,
                credits,
            } => {
                self.note_shown(account, |memo| memo.bought(payment, *credits))
                    .await?;
                Box::pin(self.settle(&self.verify_name(account)?, api)).await?;
                Ok(done())
            }
            Step::Standing(account) => self.plan_of(account, rules).await,
            Step::Person { account, marks } => self.person(account, marks).await,
            Step::Move { account, from, to } => self.move_on(account, from, to, rules).await,
        }
    }

    /// What an account has shown.
    pub(in super::super) async fn shown(&self, account: &AccountId) -> Result<VerifyMemo, LedgerError> {
        Ok(match self.document(&self.verify_name(account)?).await? {
            Document::Verify(memo) => *memo,
            _ => VerifyMemo::default(),
        })
    }

    /// Changes what is remembered of what an account has shown.
    pub(in super::super) async fn note_shown(
        &self,
        account: &AccountId,
        mut change: impl FnMut(&mut VerifyMemo),
    ) -> Result<(), LedgerError> {
        let name = self.verify_name(account)?;
        self.rewrite(&name, |document| {
            if let Document::Verify(memo) = document {
                change(memo);
            }
        })
        .await
    }

    fn verify_name(&self, account: &AccountId) -> Result<MemoName, LedgerError> {
        MemoName::new("verify", account.as_str()).map_err(|error| LedgerError::Invalid(error.to_string()))
    }

    /// Asks for a card, and has only hashes of it from then on.
    async fn card(&self, name: &MemoName, of: &str, customer: Option<&str>) -> Result<Tried, LedgerError> {
        let bad = |error: crate::stripe::call::BadCall| Tried::Came(Done::Refused(error.to_string()));
        let call = if name.kind() == SETUP {
            api::get_payment_method(of)
        } else {
            api::get_charge(of)
        };
        let found = match call {
            Ok(call) => self.ask(&call).await,
            Err(error) => return Ok(bad(error)),
        };
        let body = match found {
            Ok(body) => body,
            Err(tried) => return Ok(tried),
        };
        let card = match card(&body) {
            Ok(card) => card,
            Err(error) => return Ok(Tried::Came(Done::Refused(error.to_string()))),
        };
        let Some(card) = card else {
            return Ok(came(Came::Shown(Proof::default())));
        };
        let mut emails: Vec<String> = card.email.into_iter().collect();
        if let Some(customer) = customer {
            let call = match api::get_customer(customer) {
                Ok(call) => call,
                Err(error) => return Ok(bad(error)),
            };
            match self.ask(&call).await {
                Ok(body) => emails.extend(body.get("email").and_then(Value::as_str).map(str::to_owned)),
                Err(Tried::Came(_)) => {}
                Err(tried) => return Ok(tried),
            }
        }
        let key = self.persons_key().await?;
        let mut marks = Vec::new();
        marks.extend(card.fingerprint.map(|print| mark(&key, CARD, &print)));
        for email in emails {
            let mark = mark(&key, EMAIL, &canonical(&email));
            if !marks.contains(&mark) {
                marks.push(mark);
            }
        }
        Ok(came(Came::Shown(Proof {
            is_card: true,
            cvc: card.cvc,
            postal_code: card.postal_code,
            funding: card.funding,
            marks,
            ..Proof::default()
        })))
    }

    async fn plan_of(&self, account: &AccountId, rules: &Rules) -> Result<Tried, LedgerError> {
        let Some(statement) = self.ledger.statement(account).await? else {
            return Ok(Tried::Ends(Ended::Parked(format!(
                "there is no account {account}"
            ))));
        };
        let plan = statement.account.settings.plan.clone();
        Ok(came(Came::Standing(Standing {
            plan: plan.or_else(|| rules.default_plan.clone()),
            at: statement.time,
        })))
    }

    /// Looks at all marks first, so that who is refused has taken none, but for those who come at the very same time. All take them in the same order, so
    /// that one of these has them all.
    async fn person(&self, account: &AccountId, marks: &[(String, String)]) -> Result<Tried, LedgerError> {
        let mut names = Vec::with_capacity(marks.len());
        for (kind, hash) in marks {
            let name =
                MemoName::new("person", hash).map_err(|error| LedgerError::Invalid(error.to_string()))?;
            if self.is_anothers(&name, account).await? {
                return Ok(came(Came::Taken(kind.clone())));
            }
            names.push((kind, name));
        }
        names.sort_by(|(_, one), (_, other)| one.id().cmp(other.id()));
        for (kind, name) in names {
            let memo = Memo {
                text: text(&Person {
                    account: account.to_string(),
                }),
                due: Timestamp::NEVER,
                forget_at: Timestamp::NEVER,
            };
            let wrote = self.memos.write_memo(&name, 0, &memo).await?;
            if !matches!(wrote, Wrote::Done { .. }) && self.is_anothers(&name, account).await? {
                return Ok(came(Came::Taken(kind.clone())));
            }
        }
        Ok(done())
    }

    async fn is_anothers(&self, name: &MemoName, account: &AccountId) -> Result<bool, LedgerError> {
        let Some(kept) = self.memos.memo(name).await? else {
            return Ok(false);
        };
        let person: Person = read(name, &kept.memo.text)?;
        Ok(person.account != account.as_str())
    }

    /// The key of all hashes of persons, made once. Nothing that an operator changes has a part in it, so that nobody is forgotten.
    async fn persons_key(&self) -> Result<Hmac<Sha256>, LedgerError> {
        let name = MemoName::new("secret", "persons").map_err(|e| LedgerError::Invalid(e.to_string()))?;
        for _ in 0..TRIES {
            if let Some(kept) = self.memos.memo(&name).await? {
                let secret: Secret = read(&name, &kept.memo.text)?;
                return Hmac::new_from_slice(secret.key.as_bytes())
                    .map_err(|error| LedgerError::Invalid(error.to_string()));
            }
            let mut random = [0; 32];
            kernel_entropy()(&mut random);
            let memo = Memo {
                text: text(&Secret { key: hex(&random) }),
                due: Timestamp::NEVER,
                forget_at: Timestamp::NEVER,
            };
            self.memos.write_memo(&name, 0, &memo).await?;
        }
        Err(LedgerError::Unavailable(format!(
            "the memo {name} cannot be written"
        )))
    }

    async fn move_on(
        &self,
        account: &AccountId,
        from: &PlanId,
        to: &PlanId,
        rules: &Rules,
    ) -> Result<Tried, LedgerError> {
        let Some(statement) = self.ledger.statement(account).await? else {
            return Ok(Tried::Ends(Ended::Parked(format!(
                "there is no account {account}"
            ))));
        };
        let plan = statement.account.settings.plan.as_ref();
        // Whom the operator has put on another plan meanwhile stays there.
        if plan.or(rules.default_plan.as_ref()) != Some(from) {
            return Ok(done());
        }
        let change = AccountChange::Plan(Some(to.clone()));
        let note = Note::by(ACTOR, "verified");
        self.set_account(&statement.account, &change, note).await
    }
}

fn done() -> Tried {
    Tried::Came(Done::Done)
}

fn came(came: Came) -> Tried {
    Tried::Came(Done::Verified(came))
}

fn text<T: Serialize>(value: &T) -> std::sync::Arc<str> {
    serde_json::to_string(value).unwrap_or_default().into()
}

fn read<T: for<'a> Deserialize<'a>>(name: &MemoName, text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text)
        .map_err(|error| LedgerError::Invalid(format!("the memo {name} cannot be read: {error}")))
}

/// A kind of mark, and its keyed hash.
fn mark(key: &Hmac<Sha256>, kind: &str, of: &str) -> (String, String) {
    let mut hmac = key.clone();
    hmac.update(kind.as_bytes());
    // No kind has it.
    hmac.update(b"\n");
    hmac.update(of.as_bytes());
    (kind.to_owned(), hex(&hmac.finalize().into_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Ways of writing one address are one: lower case, without what follows a plus sign; Gmail's without dots.
fn canonical(email: &str) -> String {
    let email = email.trim().to_lowercase();
    let Some((name, host)) = email.rsplit_once('@') else {
        return email;
    };
    let name = name.split('+').next().unwrap_or_default();
    if matches!(host, "gmail.com" | "googlemail.com") {
        return format!("{}@gmail.com", name.replace('.', ""));
    }
    format!("{name}@{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_of_writing_one_address_are_one() {
        for same in [
            "ada@example.com",
            " Ada@Example.com",
            "ada+trial2@example.com",
            "ADA+@EXAMPLE.COM",
        ] {
            assert_eq!(canonical(same), "ada@example.com", "{same}");
        }
        assert_eq!(canonical("a.d.a+x@googlemail.com"), "ada@gmail.com");
        assert_eq!(canonical("a.da@example.com"), "a.da@example.com");
        assert_eq!(canonical("nonsense"), "nonsense");
    }

    #[test]
    fn marks_of_two_kinds_or_keys_have_nothing_in_common() {
        let key = |text: &[u8]| Hmac::new_from_slice(text).unwrap();
        let one = mark(&key(b"a"), CARD, "fp");
        assert_eq!(one, mark(&key(b"a"), CARD, "fp"));
        assert_eq!(one.1.len(), 64);
        assert_ne!(one.1, mark(&key(b"a"), EMAIL, "fp").1);
        assert_ne!(one.1, mark(&key(b"b"), CARD, "fp").1);
    }
}
