//! The fake without a network: calls are answered from the world at once, each POST once per key.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use faregate::stripe::call::Call;
use faregate::stripe::client::{Answer, ApiError, Refused, Reply, Stripe};

use super::chance::Chance;
use super::schema::Api;
use super::world::{Reply as Made, World};
use super::{form, lock, route};

/// Stripe, inside this process.
#[derive(Debug)]
pub(crate) struct Direct {
    world: Mutex<World>,
    kept: Mutex<BTreeMap<String, Made>>,
    api: Api,
    /// So many calls of a hundred get no answer, half of them having been done.
    luck: Mutex<(Chance, u32)>,
}

impl Direct {
    pub(crate) fn new(now: i64, seed: u64) -> Direct {
        Direct {
            world: Mutex::new(World::new(now)),
            kept: Mutex::default(),
            api: Api::load(),
            luck: Mutex::new((Chance::new(seed), 0)),
        }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// From now on so many of a hundred calls are not answered.
    pub(crate) fn lose(&self, percent: u32) {
        lock(&self.luck).1 = percent;
    }

    fn make(&self, call: &Call) -> Made {
        if let Some(kept) = call
            .idempotency_key()
            .and_then(|key| lock(&self.kept).get(key).cloned())
        {
            return kept;
        }
        let pairs: Vec<_> = call
            .form()
            .pairs()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let method = call.method().to_string();
        let (operation, names) = self
            .api
            .find(&method, call.path())
            .expect("an operation of the API");
        let asked = operation.check(form::tree(&pairs)?)?;
        let made = route::call(&mut self.world(), &operation.name, &names, &asked);
        if let Some(key) = call.idempotency_key() {
            lock(&self.kept).insert(key.to_owned(), made.clone());
        }
        made
    }

    fn answer(&self, call: &Call) -> Result<Reply, ApiError> {
        let (lost, done) = {
            let mut luck = lock(&self.luck);
            let percent = luck.1;
            (luck.0.percent(percent), luck.0.percent(50))
        };
        let unknown = || ApiError::Unknown {
            what: "no answer".to_owned(),
            request_id: None,
        };
        if lost && !done {
            return Err(unknown());
        }
        let made = self.make(call);
        if lost {
            return Err(unknown());
        }
        match made {
            Ok(body) => Ok(Reply {
                body,
                request_id: None,
            }),
            Err(error) => {
                let text = |name: &str| error.body()["error"][name].as_str().map(str::to_owned);
                Err(ApiError::Refused(Box::new(Refused {
                    status: error.status,
                    kind: text("type").unwrap_or_default(),
                    code: text("code"),
                    decline_code: text("decline_code"),
                    advice_code: text("advice_code"),
                    param: text("param"),
                    message: error.body().to_string(),
                    ..Refused::default()
                })))
            }
        }
    }
}

impl Stripe for Direct {
    fn call<'a>(&'a self, call: &'a Call) -> Answer<'a> {
        Box::pin(async move { self.answer(call) })
    }
}
