//! What a client is told.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::clock::{Clock, SystemClock};
use crate::config::{BaseUrl, Secret};

/// The version of the API that answers are read by, and objects of events are written in.
pub const API_VERSION: &str = "2026-10-28.endive";

/// What a client is told.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Where the API is: `https://api.stripe.com`, or a stand-in for it. Without TLS on this machine only.
    pub api_base: BaseUrl,
    /// A secret or a restricted key, with the least rights that do.
    pub api_key: Secret,
    /// Whose certificates are believed; none: the usual public ones.
    pub trusted: Vec<CertificateDer<'static>>,
    /// How long one try may take in all.
    pub timeout: Duration,
    /// How much of that for making a connection.
    pub connect_timeout: Duration,
    /// How often a call is tried, at least once.
    pub tries: u32,
    /// The shortest and the longest pause between tries.
    pub back_off: (Duration, Duration),
    /// Calls in a second. Stripe allows 100 to an account in live mode, 25 in a sandbox, and 25 per endpoint.
    pub per_second: NonZeroU32,
    /// Calls at the same time.
    pub at_once: u32,
    /// How long a try waits for its turn.
    pub patience: Duration,
    /// Any number, as likely as any other: it spreads pauses.
    pub chance: fn() -> u32,
    /// Our time, which the `Date` of answers is compared with.
    pub clock: Arc<dyn Clock>,
}

impl ClientOptions {
    /// The usual: tries of 10 s (3 s to connect), three of them 0.5 s to 5 s apart, 20 calls a second, 16 at once, 10 s until its turn.
    pub fn new(api_base: BaseUrl, api_key: Secret) -> ClientOptions {
        const PER_SECOND: NonZeroU32 = NonZeroU32::new(20).unwrap();
        ClientOptions {
            api_base,
            api_key,
            trusted: Vec::new(),
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            tries: 3,
            back_off: (Duration::from_millis(500), Duration::from_secs(5)),
            per_second: PER_SECOND,
            at_once: 16,
            patience: Duration::from_secs(10),
            // Without chance all pauses are of one length, which is not worth failing for.
            chance: || getrandom::u32().unwrap_or(u32::MAX / 2),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Why there can be no client. Never says the key.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Empty, or with characters that no key has.
    #[error(
        "the API key is empty or has a space in it: copy it from the dashboard, it begins with rk_ or sk_"
    )]
    Key,
    /// A key that browsers may have.
    #[error("the API key is a publishable one (pk_...): take a restricted key (rk_...)")]
    Publishable,
    /// A host that can have no certificate.
    #[error("api_base: {0} is no name that a certificate could have")]
    Host(String),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}
