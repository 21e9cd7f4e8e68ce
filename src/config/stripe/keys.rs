//! What Stripe signs with, and what it is called with.

use super::super::context::Placed;
use super::super::secret::Secret;
use super::super::section::Section;

const SECRETS_MAX: usize = 8;

const SECRETS: &str = "Signing secrets of the webhook endpoint, 1 to 8: an event signed with any of them is taken. Give the old and the new one while you change it.";
const API_KEY: &str = "A restricted API key. Without it Stripe is only listened to: lost events are not made up for, nothing is sold and no retries are stopped.";

pub(super) fn api_key(s: &Section<'_>) -> Option<Placed<Secret>> {
    s.secret("api_key", API_KEY)
}

/// `None` with a problem.
pub(super) fn webhook_secrets(s: &Section<'_>) -> Option<Vec<Secret>> {
    let list = s.secrets("webhook_secrets", SECRETS, SECRETS_MAX)?;
    let written = s.written("webhook_secrets").len();
    if written == 0 {
        s.problem(
            &list.place,
            "is empty",
            "give at least one: without a signature nobody is believed",
        );
    }
    let good: Vec<Secret> = list
        .value
        .into_iter()
        .filter(|secret| is_webhook_secret(s, secret))
        .map(|secret| secret.value)
        .collect();
    (good.len() == written && written > 0).then_some(good)
}

/// Nothing of the secret is told but the kind that its first letters say.
fn is_webhook_secret(s: &Section<'_>, secret: &Placed<Secret>) -> bool {
    let text = secret.value.expose();
    let other = [
        ("we_", "the id of an endpoint"),
        ("sk_", "an API key"),
        ("rk_", "an API key"),
        ("pk_", "a publishable key"),
    ];
    if let Some((_, kind)) = other.iter().find(|(begin, _)| text.starts_with(begin)) {
        s.problem(
            &secret.place,
            format!("is {kind}, not a signing secret"),
            "take the one that Stripe reveals for the endpoint; it begins with whsec_",
        );
        return false;
    }
    is_visible(s, secret)
}

/// Whether it may be used for such events.
pub(super) fn fits(s: &Section<'_>, key: &Placed<Secret>, livemode: bool) -> bool {
    let text = key.value.expose();
    let (what, advice) = if text.starts_with("whsec_") {
        (
            "is a signing secret, not an API key",
            "take a restricted key; it begins with rk_",
        )
    } else if text.starts_with("pk_") {
        (
            "is a publishable key, which may do nothing",
            "take a restricted key; it begins with rk_",
        )
    } else if livemode && (text.starts_with("sk_test_") || text.starts_with("rk_test_")) {
        (
            "is a key for tests, and livemode = true",
            "take a live key, or say livemode = false",
        )
    } else if !livemode && (text.starts_with("sk_live_") || text.starts_with("rk_live_")) {
        (
            "is a live key, and livemode = false",
            "take a key for tests, or say livemode = true",
        )
    } else {
        return is_visible(s, key);
    };
    s.problem(&key.place, what, advice);
    false
}

/// Neither blank nor broken over lines.
fn is_visible(s: &Section<'_>, secret: &Placed<Secret>) -> bool {
    let good = secret.value.expose().bytes().all(|b| b.is_ascii_graphic());
    if !good {
        s.problem(
            &secret.place,
            "has a blank, or a character that no key of Stripe's has",
            "look for a space or a line break in the variable or file",
        );
    }
    good
}
