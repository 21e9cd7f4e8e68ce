//! `POST /faregate/stripe/webhook`: what Stripe sends. Whoever cannot sign is turned away before anything is read of what they say, or asked of the ledger.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;

use crate::clock::Clock;
use crate::ledger::LedgerError;
use crate::service::stripe::desk::Desk;
use crate::stripe::event::{Event, parse};
use crate::stripe::facts::is_heard;
use crate::stripe::signature::{SignatureError, WebhookSecrets, verify};
use crate::telemetry::metrics::StripeMeters;

use super::reply::{self, Reply};

/// The most events that are dealt with at the same time; Stripe sends what is beyond again.
const AT_ONCE: usize = 64;

/// Takes events.
#[derive(Debug)]
pub struct Webhook {
    desk: Arc<Desk>,
    secrets: ArcSwap<WebhookSecrets>,
    clock: Arc<dyn Clock>,
    meters: Arc<StripeMeters>,
    room: tokio::sync::Semaphore,
}

/// Why an event is not taken. Sentences are for the sender.
#[derive(Debug)]
pub enum NotTaken {
    /// It is not from Stripe, or not readable; sending it again as it is will not help.
    Refused(String),
    /// Too many at once: to be sent again.
    Busy,
    /// The ledger did not answer: to be sent again.
    Failed(LedgerError),
}

impl Webhook {
    /// An endpoint that believes those who have one of the secrets.
    pub fn new(
        desk: Arc<Desk>,
        secrets: WebhookSecrets,
        clock: Arc<dyn Clock>,
        meters: Arc<StripeMeters>,
    ) -> Webhook {
        Webhook {
            desk,
            secrets: ArcSwap::from_pointee(secrets),
            clock,
            meters,
            room: tokio::sync::Semaphore::new(AT_ONCE),
        }
    }

    /// From now on these count.
    pub fn set_secrets(&self, secrets: WebhookSecrets) {
        self.secrets.store(Arc::new(secrets));
    }

    /// Whether a delivery is Stripe's, by the header `Stripe-Signature` and the body byte by byte as it came; and what it says.
    pub fn believe(&self, signature: &[u8], body: &[u8]) -> Result<Event, NotTaken> {
        if let Err(error) = verify(&self.secrets.load(), signature, body, self.clock.now()) {
            self.refuse(&error);
            return Err(NotTaken::Refused(error.to_string()));
        }
        parse(body).map_err(|error| {
            self.meters.event("other", "unreadable");
            tracing::error!(%error, "Stripe signed something that cannot be read");
            NotTaken::Refused(error.to_string())
        })
    }

    /// Takes an event; `raw` is its body. It is durable when this has answered.
    pub async fn take(&self, event: &Event, raw: &[u8]) -> Result<Reply, NotTaken> {
        #[derive(Serialize)]
        struct Taken {
            received: bool,
            result: &'static str,
        }
        let kind = if is_heard(&event.kind) {
            &*event.kind
        } else {
            "other"
        };
        let Ok(_place) = self.room.try_acquire() else {
            self.meters.event(kind, "busy");
            return Err(NotTaken::Busy);
        };
        match self.desk.receive(event, raw).await {
            Ok(received) => {
                let result = received.as_str();
                self.meters.event(kind, result);
                tracing::debug!(
                    event = event.id,
                    kind = event.kind,
                    result,
                    "took an event of Stripe"
                );
                Ok(reply::ok(&Taken {
                    received: true,
                    result,
                }))
            }
            Err(error) => {
                self.meters.event(kind, "failed");
                tracing::warn!(event = event.id, kind = event.kind, %error, "could not take an event of Stripe; it is sent again");
                Err(NotTaken::Failed(error))
            }
        }
    }

    fn refuse(&self, error: &SignatureError) {
        let result = match error {
            SignatureError::Old { .. } | SignatureError::Ahead { .. } => "out_of_time",
            _ => "forged",
        };
        self.meters.event("other", result);
        // Anybody can send such: the metric tells of a clock that is wrong, the log is not for strangers to fill.
        tracing::debug!(%error, "did not believe an event");
    }
}
