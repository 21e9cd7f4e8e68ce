//! The JSON in an entry's [`Detail`]: written by whoever gives a command, read by people, by the journal's consumers and by `rebuild`.
//!
//! The money of an entry is in its columns; here stands what they do not say: who, why, for what, and the facts and settings that a rebuild needs.
//! One JSON object; amounts are decimal strings, times RFC 3339 in UTC, what is not known is left out.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::command::{AccountChange, NewKey};
use crate::domain::credits::Credits;
use crate::domain::entry::Detail;
use crate::domain::grant::{Category, GrantFacts};
use crate::domain::ids::{GrantId, KeyDigest, KeyId, PlanId};
use crate::domain::limits::Limits;
use crate::domain::time::Timestamp;

/// The longest part of a grant's note that is kept in the journal, in bytes; longer ones are cut.
const NOTE_MAX: usize = 512;

/// Why a detail does not say what was looked for; which part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the entry's detail is not readable: {0}")]
pub struct DetailError(String);

/// What is said about an entry. Build one with [`Note::by`] and the methods, [`Note::detail`] makes the journal's text of it; [`Note::read`] reads one back.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Note<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    actor: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    cause: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    reference: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    note: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    route: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    from: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<FactsJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    settings: Option<SettingsJson>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new_key: Option<NewKeyJson>,
}

impl<'a> Note<'a> {
    /// Who did it (`admin:ops`, `proxy`, `stripe`) and what made them (`request`, `webhook`, `admin`).
    pub fn by(actor: &'a str, cause: &'a str) -> Note<'a> {
        Note {
            actor: Some(actor.into()),
            cause: Some(cause.into()),
            ..Note::default()
        }
    }

    /// What it refers to outside: an event's, a purchase's, a ticket's id.
    #[must_use]
    pub fn reference(self, id: &'a str) -> Note<'a> {
        Note {
            reference: Some(id.into()),
            ..self
        }
    }

    /// A sentence for people.
    #[must_use]
    pub fn note(self, text: &'a str) -> Note<'a> {
        Note {
            note: Some(cut(text).into()),
            ..self
        }
    }

    /// The route's name, as in the configuration.
    #[must_use]
    pub fn route(self, route: &'a str) -> Note<'a> {
        Note {
            route: Some(route.into()),
            ..self
        }
    }

    /// The model that was asked for.
    #[must_use]
    pub fn model(self, model: &'a str) -> Note<'a> {
        Note {
            model: Some(cut(model).into()),
            ..self
        }
    }

    /// Through which key. An entry of kind `hold` should say it: a rebuild has it from nowhere else.
    #[must_use]
    pub fn key(self, key: &'a KeyId) -> Note<'a> {
        Note {
            key: Some(key.as_str().into()),
            ..self
        }
    }

    /// From which grant an `Adjust` takes first; to be carried by its entry, as a grant's facts are.
    #[must_use]
    pub fn from(self, grant: &'a GrantId) -> Note<'a> {
        Note {
            from: Some(grant.as_str().into()),
            ..self
        }
    }

    /// What was measured; an object of numbers.
    #[must_use]
    pub fn usage(self, usage: Value) -> Note<'a> {
        Note {
            usage: Some(usage),
            ..self
        }
    }

    /// What it was priced by.
    #[must_use]
    pub fn price(self, price: Value) -> Note<'a> {
        Note {
            price: Some(price),
            ..self
        }
    }

    /// The facts told by a `PutGrant`. Each of its entries must carry them: a rebuild has them from nowhere else.
    #[must_use]
    pub fn grant(self, facts: &GrantFacts) -> Note<'a> {
        Note {
            grant: Some(FactsJson::from(facts)),
            ..self
        }
    }

    /// What a `SetAccount` sets; to be carried by each of its entries, as a grant's facts are.
    #[must_use]
    pub fn change(self, change: &AccountChange) -> Note<'a> {
        let settings = match change {
            AccountChange::Create(plan) | AccountChange::Plan(plan) => SettingsJson {
                plan: Some(plan.as_ref().map(|p| p.as_str().to_owned())),
                limits: None,
            },
            AccountChange::Limits(limits) => SettingsJson {
                plan: None,
                limits: Some(LimitsJson::from(limits)),
            },
            // The entry's subject says it all.
            AccountChange::Pause(_) | AccountChange::Resume(_) => return self,
        };
        Note {
            settings: Some(settings),
            ..self
        }
    }

    /// The key a `PutKey` makes: its digest, never the key.
    #[must_use]
    pub fn new_key(self, key: &NewKey) -> Note<'a> {
        Note {
            new_key: Some(NewKeyJson::from(key)),
            ..self
        }
    }

    /// The text for the journal. Where it would be longer than [`Detail::MAX`] the parts that a rebuild does not need are left out.
    pub fn detail(&self) -> Detail {
        let text = serde_json::to_string(self).unwrap_or_default();
        if text.is_empty() {
            return Detail::none();
        }
        if text.len() <= Detail::MAX {
            return Detail::new(&text);
        }
        let short = Note {
            key: self.key.clone(),
            from: self.from.clone(),
            grant: self.grant.clone(),
            settings: self.settings.clone(),
            new_key: self.new_key.clone(),
            cause: self.cause.clone().filter(|c| c.len() <= NOTE_MAX),
            actor: self.actor.clone().filter(|a| a.len() <= NOTE_MAX),
            ..Note::default()
        };
        Detail::new(&serde_json::to_string(&short).unwrap_or_default())
    }

    /// Reads a detail. Parts it does not know are passed over, so that older programs read newer journals.
    pub fn read(detail: &'a Detail) -> Result<Note<'a>, DetailError> {
        serde_json::from_str(detail.as_str()).map_err(|e| DetailError(e.to_string()))
    }

    /// The route's name.
    pub fn route_read(&self) -> Option<&str> {
        self.route.as_deref()
    }

    /// Through which key.
    pub fn key_read(&self) -> Option<KeyId> {
        self.key.as_deref().and_then(|k| KeyId::new(k).ok())
    }

    /// From which grant was taken first.
    pub fn from_read(&self) -> Option<GrantId> {
        self.from.as_deref().and_then(|id| GrantId::new(id).ok())
    }

    /// The facts told of a grant.
    pub fn grant_read(&self) -> Result<Option<GrantFacts>, DetailError> {
        self.grant.as_ref().map(FactsJson::facts).transpose()
    }

    /// The plan that was set; the inner `None` is "no plan".
    pub fn plan_read(&self) -> Result<Option<Option<PlanId>>, DetailError> {
        let Some(plan) = self.settings.as_ref().and_then(|s| s.plan.as_ref()) else {
            return Ok(None);
        };
        let plan = plan.as_deref().map(PlanId::new).transpose();
        plan.map(Some).map_err(|e| bad("plan", &e))
    }

    /// The caps that were set.
    pub fn limits_read(&self) -> Result<Option<Limits>, DetailError> {
        let limits = self.settings.as_ref().and_then(|s| s.limits.as_ref());
        limits.map(LimitsJson::limits).transpose()
    }

    /// The key that was made.
    pub fn new_key_read(&self) -> Result<Option<NewKey>, DetailError> {
        self.new_key.as_ref().map(NewKeyJson::key).transpose()
    }
}

/// A grant's facts as a JSON object.
pub fn facts_to_json(facts: &GrantFacts) -> String {
    serde_json::to_string(&FactsJson::from(facts)).unwrap_or_default()
}

/// A grant's facts from what [`facts_to_json`] made.
pub fn facts_from_json(json: &str) -> Result<GrantFacts, DetailError> {
    let facts: FactsJson = serde_json::from_str(json).map_err(|e| DetailError(e.to_string()))?;
    facts.facts()
}

/// Caps as a JSON object; what is not capped is left out.
pub fn limits_to_json(limits: &Limits) -> String {
    serde_json::to_string(&LimitsJson::from(limits)).unwrap_or_default()
}

/// Caps from what [`limits_to_json`] made.
pub fn limits_from_json(json: &str) -> Result<Limits, DetailError> {
    let limits: LimitsJson = serde_json::from_str(json).map_err(|e| DetailError(e.to_string()))?;
    limits.limits()
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct FactsJson {
    id: String,
    amount: String,
    priority: u8,
    category: String,
    effective_at: String,
    /// Left out for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    created_at: String,
    updated_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    voided_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl From<&GrantFacts> for FactsJson {
    fn from(facts: &GrantFacts) -> FactsJson {
        FactsJson {
            id: facts.id.to_string(),
            amount: facts.amount.to_string(),
            priority: facts.priority,
            category: match facts.category {
                Category::Paid => "paid",
                Category::Promotional => "promotional",
            }
            .to_owned(),
            effective_at: utc(facts.effective_at),
            expires_at: utc_or_never(facts.expires_at),
            created_at: utc(facts.created_at),
            updated_at: utc(facts.updated_at),
            voided_at: facts.voided_at.map(utc),
            note: facts.note.as_deref().map(|n| cut(n).to_owned()),
        }
    }
}

impl FactsJson {
    fn facts(&self) -> Result<GrantFacts, DetailError> {
        Ok(GrantFacts {
            id: GrantId::new(&self.id).map_err(|e| bad("grant.id", &e))?,
            amount: amount(&self.amount, "grant.amount")?,
            priority: self.priority,
            category: match self.category.as_str() {
                "paid" => Category::Paid,
                "promotional" => Category::Promotional,
                other => return Err(bad("grant.category", &other)),
            },
            effective_at: instant(&self.effective_at, "grant.effective_at")?,
            expires_at: instant_or_never(self.expires_at.as_deref(), "grant.expires_at")?,
            created_at: instant(&self.created_at, "grant.created_at")?,
            updated_at: instant(&self.updated_at, "grant.updated_at")?,
            voided_at: self
                .voided_at
                .as_deref()
                .map(|t| instant(t, "grant.voided_at"))
                .transpose()?,
            note: self.note.as_deref().map(Arc::from),
        })
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct SettingsJson {
    /// `null` is "no plan"; left out when the plan was not set.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    plan: Option<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limits: Option<LimitsJson>,
}

/// Tells a `null` that is there from one that is not.
fn some<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct LimitsJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests_per_minute: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens_per_minute: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concurrent: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spend_per_day: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spend_per_month: Option<String>,
}

impl From<&Limits> for LimitsJson {
    fn from(limits: &Limits) -> LimitsJson {
        LimitsJson {
            requests_per_minute: limits.requests_per_minute,
            tokens_per_minute: limits.tokens_per_minute,
            concurrent: limits.concurrent,
            spend_per_day: limits.spend_per_day.map(|c| c.to_string()),
            spend_per_month: limits.spend_per_month.map(|c| c.to_string()),
        }
    }
}

impl LimitsJson {
    fn limits(&self) -> Result<Limits, DetailError> {
        let credits = |text: &Option<String>, part| text.as_deref().map(|t| amount(t, part)).transpose();
        Ok(Limits {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            concurrent: self.concurrent,
            spend_per_day: credits(&self.spend_per_day, "limits.spend_per_day")?,
            spend_per_month: credits(&self.spend_per_month, "limits.spend_per_month")?,
        })
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct NewKeyJson {
    id: String,
    digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    limits: LimitsJson,
}

impl From<&NewKey> for NewKeyJson {
    fn from(key: &NewKey) -> NewKeyJson {
        NewKeyJson {
            id: key.id.to_string(),
            digest: key.digest.to_hex(),
            name: key.name.as_deref().map(|n| cut(n).to_owned()),
            expires_at: utc_or_never(key.expires_at),
            limits: LimitsJson::from(&key.limits),
        }
    }
}

impl NewKeyJson {
    fn key(&self) -> Result<NewKey, DetailError> {
        Ok(NewKey {
            id: KeyId::new(&self.id).map_err(|e| bad("new_key.id", &e))?,
            digest: digest_from_hex(&self.digest).ok_or_else(|| bad("new_key.digest", &self.digest))?,
            name: self.name.as_deref().map(Arc::from),
            expires_at: instant_or_never(self.expires_at.as_deref(), "new_key.expires_at")?,
            limits: self.limits.limits()?,
        })
    }
}

fn bad(part: &str, why: &dyn std::fmt::Display) -> DetailError {
    DetailError(format!("{part}: {why}"))
}

fn amount(text: &str, part: &str) -> Result<Credits, DetailError> {
    text.parse().map_err(|e| bad(part, &e))
}

pub(crate) fn utc(time: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(time.micros()).map_or_else(|_| String::new(), |t| t.to_string())
}

pub(crate) fn utc_or_never(time: Timestamp) -> Option<String> {
    (time != Timestamp::NEVER).then(|| utc(time))
}

pub(crate) fn instant(text: &str, part: &str) -> Result<Timestamp, DetailError> {
    let time: jiff::Timestamp = text.parse().map_err(|e| bad(part, &e))?;
    Ok(Timestamp::from_micros(time.as_microsecond()))
}

fn instant_or_never(text: Option<&str>, part: &str) -> Result<Timestamp, DetailError> {
    text.map_or(Ok(Timestamp::NEVER), |t| instant(t, part))
}

/// A key's digest from what [`KeyDigest::to_hex`] made.
pub fn digest_from_hex(hex: &str) -> Option<KeyDigest> {
    let mut bytes = [0; 32];
    let digits = hex.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |d: u8| char::from(d).to_digit(16).and_then(|n| u8::try_from(n).ok());
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(KeyDigest(bytes))
}

/// At most [`NOTE_MAX`] bytes of a text, whole characters.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(NOTE_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        instant(text, "test").unwrap()
    }

    fn facts() -> GrantFacts {
        GrantFacts {
            id: GrantId::new("stripe:credgr_1").unwrap(),
            amount: "12.500001".parse().unwrap(),
            priority: 7,
            category: Category::Paid,
            effective_at: at("2026-11-23T06:00:00.000001Z"),
            expires_at: Timestamp::NEVER,
            created_at: Timestamp::ZERO,
            updated_at: at("2026-11-23T06:00:00Z"),
            voided_at: None,
            note: Some("pi_1 \"quoted\" ä".into()),
        }
    }

    #[test]
    fn a_grants_facts_come_back_exactly() {
        let lasting = facts();
        let ended = GrantFacts {
            expires_at: at("2027-01-01T00:00:00.999999Z"),
            voided_at: Some(at("2026-12-01T00:00:00Z")),
            category: Category::Promotional,
            note: None,
            ..facts()
        };
        for facts in [lasting, ended] {
            assert_eq!(facts_from_json(&facts_to_json(&facts)), Ok(facts.clone()));
            let detail = Note::by("admin:ops", "admin").grant(&facts).detail();
            assert_eq!(Note::read(&detail).unwrap().grant_read(), Ok(Some(facts)));
        }
    }

    #[test]
    fn settings_and_keys_come_back_exactly() {
        let limits = Limits {
            requests_per_minute: Some(60),
            spend_per_day: Some("1.5".parse().unwrap()),
            ..Limits::NONE
        };
        let plan = Some(PlanId::new("pro").unwrap());
        let read = |change: &AccountChange| {
            let detail = Note::default().change(change).detail();
            let note = Note::read(&detail).unwrap();
            (note.plan_read().unwrap(), note.limits_read().unwrap())
        };
        assert_eq!(read(&AccountChange::Create(plan.clone())), (Some(plan), None));
        assert_eq!(read(&AccountChange::Plan(None)), (Some(None), None));
        assert_eq!(read(&AccountChange::Limits(limits)), (None, Some(limits)));
        assert_eq!(limits_from_json(&limits_to_json(&limits)), Ok(limits));
        let key = NewKey {
            id: KeyId::new("key_1").unwrap(),
            digest: KeyDigest([0xa5; 32]),
            name: Some("laptop".into()),
            expires_at: Timestamp::NEVER,
            limits,
        };
        let detail = Note::default().new_key(&key).detail();
        assert_eq!(Note::read(&detail).unwrap().new_key_read(), Ok(Some(key)));
    }

    #[test]
    fn a_note_reads_as_people_would_write_it() {
        let key = KeyId::new("key_1").unwrap();
        let note = Note::by("proxy", "request").route("chat").key(&key);
        let note = note.usage(serde_json::json!({"output_tokens": 12}));
        assert_eq!(
            note.detail().as_str(),
            r#"{"actor":"proxy","cause":"request","route":"chat","key":"key_1","usage":{"output_tokens":12}}"#
        );
        assert_eq!(Note::default().detail(), Detail::none());
        assert!(Note::read(&Detail::new(r#"{"actor":"a","later":{"x":1}}"#)).is_ok());
        assert!(Note::read(&Detail::new("nonsense")).is_err());
    }

    #[test]
    fn what_a_rebuild_needs_is_kept_when_a_note_is_too_long() {
        let usage = serde_json::json!({"text": "x".repeat(Detail::MAX)});
        let note = Note::by("proxy", "request").usage(usage).grant(&facts());
        let detail = note.detail();
        assert_eq!(Note::read(&detail).unwrap().grant_read(), Ok(Some(facts())));
        let long = "ä".repeat(NOTE_MAX);
        let facts = GrantFacts {
            note: Some(long.as_str().into()),
            ..facts()
        };
        let read = facts_from_json(&facts_to_json(&facts)).unwrap();
        assert_eq!(read.note.as_deref(), Some(&long[..NOTE_MAX]));
    }
}
