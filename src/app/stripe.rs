//! Stripe, as the configuration asks for it.

use std::sync::Arc;

use crate::api::webhook::Webhook;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::config::stripe::Stripe;
use crate::ledger::Ledger;
use crate::ledger::memos::Memos;
use crate::service::stripe::desk::Desk;
use crate::service::stripe::memo::Rules;
use crate::service::stripe::sales::Sales;
use crate::service::watch::Watch;
use crate::stripe::client::{self, Client, ClientOptions};
use crate::stripe::signature::WebhookSecrets;
use crate::telemetry::metrics::Metrics;

use super::AppError;

/// What deals with Stripe while the program runs.
#[derive(Clone)]
pub(super) struct Counter {
    pub(super) desk: Arc<Desk>,
    pub(super) webhook: Arc<Webhook>,
    pub(super) sales: Arc<Sales>,
    /// Whose credits run low.
    pub(super) watch: Arc<Watch>,
}

impl Counter {
    /// Opens it; `None` without `[stripe]`. Refused where the ledger has been used with another Stripe.
    pub(super) async fn open(
        config: &Config,
        ledger: Arc<dyn Ledger>,
        memos: Arc<dyn Memos>,
        metrics: &Metrics,
    ) -> Result<Option<Counter>, AppError> {
        let (Some(stripe), Some(rules)) = (&config.stripe, Rules::of(config)) else {
            return Ok(None);
        };
        let client = client_of(stripe)?;
        let clock = Arc::new(SystemClock);
        let desk = Desk::new(
            Arc::clone(&ledger),
            Arc::clone(&memos),
            client,
            Arc::clone(&clock) as _,
            rules,
        );
        let watch = Arc::new(Watch::default());
        let desk = desk.metered(Arc::clone(&metrics.stripe));
        let desk = Arc::new(desk.watching(Arc::clone(&watch)));
        desk.pin().await.map_err(AppError::failed)?;
        let sales = Sales::new(Arc::clone(&desk), ledger, memos, Arc::clone(&clock) as _);
        let webhook = Webhook::new(
            Arc::clone(&desk),
            secrets_of(stripe)?,
            clock,
            Arc::clone(&metrics.stripe),
        );
        Ok(Some(Counter {
            desk,
            webhook: Arc::new(webhook),
            sales: Arc::new(sales),
            watch,
        }))
    }

    /// Applies a configuration that was loaded again.
    pub(super) fn reload(&self, config: &Config) -> Result<(), AppError> {
        if let (Some(stripe), Some(rules)) = (&config.stripe, Rules::of(config)) {
            let known = Arc::clone(&self.desk.rules().stripe);
            let pinned = |stripe: &Stripe| (stripe.mode, stripe.livemode, stripe.account.clone());
            if pinned(&known) != pinned(stripe) {
                tracing::warn!(
                    "another mode, livemode or account takes a restart, and a ledger of its own: nothing of [stripe] changes until then"
                );
                return Ok(());
            }
            self.webhook.set_secrets(secrets_of(stripe)?);
            self.desk.reload(rules, client_of(stripe)?);
        }
        Ok(())
    }
}

fn secrets_of(stripe: &Stripe) -> Result<WebhookSecrets, AppError> {
    WebhookSecrets::new(stripe.webhook_secrets.clone()).map_err(AppError::failed)
}

pub(super) fn client_of(stripe: &Stripe) -> Result<Option<Arc<dyn client::Stripe>>, AppError> {
    let Some(key) = &stripe.api_key else {
        return Ok(None);
    };
    let options = ClientOptions::new(stripe.api_base.clone(), key.clone());
    let client = Client::new(options).map_err(AppError::failed)?;
    Ok(Some(Arc::new(client)))
}
