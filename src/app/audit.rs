//! An account at Stripe, looked at and set right by the configuration's key. Neither the ledger nor a running proxy is needed.

use std::sync::Arc;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::config::stripe::Stripe;
use crate::service::stripe::audit::snapshot::{self, Snapshot};
use crate::service::stripe::audit::{self, Finding};
use crate::service::stripe::harden::{self, Asked, Change, Outcome, Plan};
use crate::stripe::client;

use super::AppError;
use super::serve::runtime;
use super::stripe::client_of;

/// An account at Stripe, and what is set for it here.
#[derive(Debug)]
pub struct StripeAccount {
    runtime: tokio::runtime::Runtime,
    api: Arc<dyn client::Stripe>,
    settings: Arc<Stripe>,
}

impl StripeAccount {
    /// Asks nothing yet.
    ///
    /// Errors: the configuration has no `[stripe]`, or no key in it.
    pub fn open(config: &Config) -> Result<StripeAccount, AppError> {
        let without = |what: &str| {
            AppError::Config(format!(
                "{what}: give a restricted key, api_key = \"${{STRIPE_API_KEY}}\" in [stripe]; without it nothing at Stripe can be looked at"
            ))
        };
        let Some(settings) = &config.stripe else {
            return Err(without("the configuration has no [stripe]"));
        };
        let Some(api) = client_of(settings)? else {
            return Err(without("[stripe] has no api_key"));
        };
        Ok(StripeAccount {
            runtime: runtime()?,
            api,
            settings: Arc::clone(settings),
        })
    }

    /// Reads what there is, and nothing else.
    ///
    /// Errors: Stripe does not answer, or does not know the key.
    pub fn look(&self) -> Result<Snapshot, AppError> {
        let read = snapshot::read(&*self.api, self.settings.mode);
        self.runtime.block_on(read).map_err(AppError::failed)
    }

    /// What it comes to.
    pub fn findings(&self, snapshot: &Snapshot) -> Vec<Finding> {
        audit::findings(snapshot, &self.settings)
    }

    /// What `harden` would do.
    ///
    /// Errors: an id of Stripe's that no call can be written with.
    pub fn plan(
        &self,
        snapshot: &Snapshot,
        url: Option<&str>,
        usage_gte: Option<i64>,
    ) -> Result<Plan, AppError> {
        let because = SystemClock.now().micros().to_string();
        let asked = Asked {
            url,
            usage_gte,
            because: &because,
        };
        harden::plan(snapshot, &self.settings, &asked).map_err(AppError::failed)
    }

    /// Makes changes; `tell` hears what became of each.
    pub fn make(&self, changes: &[Change], tell: &mut dyn FnMut(&Change, &Outcome)) {
        self.runtime.block_on(harden::make(&*self.api, changes, tell));
    }
}
