//! Makes calls. One call is one answer, however often it had to be asked: each can be repeated, and is, with pauses, until it is answered for good or
//! there were enough tries. What is not answered then is not known, and the same call is to be made again, later.

mod admission;
mod answer;
mod connect;
mod error;
mod list;
mod options;
mod send;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde_json::Value;

pub use error::{ApiError, Refused};
pub use list::{Newer, list_all, list_newer, list_newest};
pub use options::{API_VERSION, ClientError, ClientOptions};

use super::call::Call;
use admission::Admission;
use send::Wire;

/// The answer to come from Stripe.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Reply, ApiError>> + Send + 'a>>;

/// Whoever answers calls of Stripe's API.
///
/// Dropping the future does not undo the call: it may or may not have been done, and only the same call again tells.
pub trait Stripe: Send + Sync + fmt::Debug {
    /// Makes a call, and answers in bounded time.
    fn call<'a>(&'a self, call: &'a Call) -> Answer<'a>;

    /// What Stripe's clock said when ours said this, in seconds since the epoch: events bear Stripe's time, and what is asked has to be put among them.
    /// It is known by the latest answer; before the first, both are taken to be the same.
    fn their_time(&self, ours: i64) -> i64 {
        ours
    }
}

/// What was answered to a call that was done.
#[derive(Clone, PartialEq, Debug)]
pub struct Reply {
    /// The object.
    pub body: Value,
    /// What Stripe's support asks for: `req_...`.
    pub request_id: Option<String>,
}

/// A client of Stripe's API, or of something that answers as it does. Shows the key to nobody but the server at its base address.
///
/// It keeps its connections where it is called; it needs a runtime with I/O and time.
pub struct Client {
    wire: Wire,
    admission: Admission,
    tries: u32,
    back_off: (Duration, Duration),
    chance: fn() -> u32,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client of {}", self.wire)
    }
}

impl Client {
    /// Nothing is sent before the first call.
    ///
    /// # Errors
    /// The key or the address cannot be used.
    pub fn new(options: ClientOptions) -> Result<Client, ClientError> {
        Ok(Client {
            admission: Admission::new(options.per_second, options.at_once, options.patience),
            tries: options.tries.max(1),
            back_off: options.back_off,
            chance: options.chance,
            wire: Wire::new(options)?,
        })
    }

    async fn make(&self, call: &Call) -> Result<Reply, ApiError> {
        let mut tried = 0;
        loop {
            let unsaid = match self.once(call).await {
                Ok(reply) => return Ok(reply),
                Err(unsaid) => unsaid,
            };
            tried += 1;
            let error = unsaid.error;
            tracing::debug!(operation = call.operation(), tried, again = unsaid.again, %error, "call of Stripe's API");
            if !unsaid.again || tried >= self.tries {
                return Err(error);
            }
            tokio::time::sleep(pause(self.back_off, tried, (self.chance)())).await;
        }
    }

    /// One try.
    async fn once(&self, call: &Call) -> Result<Reply, Unsaid> {
        let Some(_admitted) = self.admission.enter().await else {
            return Err(Unsaid {
                error: ApiError::unknown("too many calls wait for their turn"),
                again: false,
            });
        };
        self.wire.send(call).await
    }
}

impl Stripe for Client {
    fn call<'a>(&'a self, call: &'a Call) -> Answer<'a> {
        Box::pin(self.make(call))
    }

    fn their_time(&self, ours: i64) -> i64 {
        self.wire.their_time(ours)
    }
}

/// A try that brought no reply.
#[derive(Debug)]
struct Unsaid {
    error: ApiError,
    /// Asking again soon may help.
    again: bool,
}

/// How long to wait after so many tries: a time between the shortest and, doubled with each try, up to the longest, by chance, so that those who were
/// turned away together do not come back together.
fn pause((shortest, longest): (Duration, Duration), tried: u32, chance: u32) -> Duration {
    let most = shortest.saturating_mul(1 << tried.min(16)).min(longest);
    let room = most.saturating_sub(shortest);
    shortest + room.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
