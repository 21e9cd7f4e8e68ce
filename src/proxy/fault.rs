//! What can go wrong with a request on its way, with all that its answer needs to say. [`super::rescue`] alone makes answers of them.

use std::borrow::Cow;

use crate::domain::refusal::Refusal;
use crate::http::headers::HeaderError;
use crate::http::target::TargetError;
use crate::service::denial::Denial;

use super::code::Code;
use super::exchange::Exchange;

/// See the module.
#[derive(Debug)]
pub(super) enum Fault {
    /// Method or target.
    Target(TargetError),
    /// Headers.
    Header(HeaderError),
    /// Anything else about the request that cannot be read in one way; the sentence is for whoever sent it.
    Unreadable(Cow<'static, str>),
    /// The model that is asked for has no price.
    ModelNotPriced(String),
    /// Two different keys.
    TwoKeys,
    /// No key.
    NoKey,
    /// No route.
    RouteNotFound,
    /// Nothing by that name, of what the gate itself has to tell; the sentence is for whoever asked.
    NotFound(String),
    /// The path has these methods.
    MethodNotAllowed(String),
    /// The page's origin is not on the route's list.
    OriginNotAllowed,
    /// The body passes the limit, in bytes.
    BodyTooLarge(u64),
    /// The body stopped coming.
    BodyStalled,
    /// Bodies take all the memory there is for them, in all or of this account.
    NoRoom,
    /// The client broke off its body. Nobody is there to be told.
    BodyBroken,
    /// Not JSON as it is, on a route that reads it; what is expected instead.
    MediaType(&'static str),
    /// The route only carries upgrades to this protocol.
    UpgradeRequired,
    /// The route carries no upgrades, or not this one.
    UpgradeRefused,
    /// The gate said no.
    Denied(Denial),
    /// No connection, or it ended before the answer; the upstream's name.
    Unreachable,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The upstream refuses our credentials.
    UpstreamRefused,
    /// The upstream's answer cannot be passed on.
    UpstreamBroken,
    /// Stripe does not sell.
    PaymentsRefused,
    /// Stripe did not answer.
    PaymentsUnavailable,
    /// Every connection to the upstream is in use, and so is the queue.
    UpstreamBusy,
}

/// A fault, and what it happened to.
pub(super) struct Rejected {
    pub(super) exchange: Box<Exchange>,
    pub(super) fault: Fault,
}

impl Exchange {
    /// Ends an exchange with a fault.
    pub(super) fn reject(self: Box<Self>, fault: Fault) -> Rejected {
        Rejected {
            exchange: self,
            fault,
        }
    }
}

impl Fault {
    /// The code of the answer.
    pub(super) fn code(&self) -> Code {
        match self {
            Fault::Target(error) => match error.status().as_u16() {
                414 => Code::TargetTooLong,
                405 => Code::MethodNotAllowed,
                _ => Code::InvalidRequest,
            },
            Fault::Header(error) => match error.status().as_u16() {
                431 => Code::HeadersTooLarge,
                417 => Code::ExpectationFailed,
                _ => Code::InvalidRequest,
            },
            Fault::Unreadable(_) | Fault::TwoKeys | Fault::BodyBroken => Code::InvalidRequest,
            Fault::ModelNotPriced(_) => Code::ModelNotPriced,
            Fault::NoKey => Code::InvalidApiKey,
            Fault::RouteNotFound => Code::RouteNotFound,
            Fault::NotFound(_) => Code::NotFound,
            Fault::MethodNotAllowed(_) => Code::MethodNotAllowed,
            Fault::OriginNotAllowed => Code::OriginNotAllowed,
            Fault::BodyTooLarge(_) => Code::BodyTooLarge,
            Fault::BodyStalled => Code::RequestTimeout,
            Fault::MediaType(_) => Code::UnsupportedMediaType,
            Fault::UpgradeRequired => Code::UpgradeRequired,
            Fault::UpgradeRefused => Code::UpgradeRefused,
            Fault::Denied(denial) => of_denial(denial),
            Fault::Unreachable => Code::UpstreamUnreachable,
            Fault::UpstreamTimeout => Code::UpstreamTimeout,
            Fault::UpstreamRefused => Code::UpstreamRefused,
            Fault::UpstreamBroken => Code::UpstreamBroken,
            Fault::PaymentsRefused => Code::PaymentsRefused,
            Fault::PaymentsUnavailable => Code::PaymentsUnavailable,
            Fault::UpstreamBusy | Fault::NoRoom => Code::Overloaded,
        }
    }
}

/// The code of the answer to whom the gate says no.
pub(super) fn of_denial(denial: &Denial) -> Code {
    match denial {
        Denial::InvalidKey => Code::InvalidApiKey,
        Denial::AccountPaused(_) => Code::AccountPaused,
        Denial::NotEntitled(_) => Code::NotEntitled,
        Denial::Failed(_) => Code::LedgerUnavailable,
        Denial::Overloaded => Code::Overloaded,
        Denial::Refused(refusal) => match refusal {
            Refusal::InsufficientCredits { .. } => Code::InsufficientCredits,
            Refusal::SpendLimitReached { .. } => Code::SpendLimitReached,
            Refusal::RateLimited { .. } => Code::RateLimited,
            Refusal::TooManyConcurrent { .. } => Code::TooManyConcurrent,
            Refusal::KeyExpired | Refusal::UnknownKey | Refusal::UnknownAccount => Code::InvalidApiKey,
            Refusal::IdConflict | Refusal::HoldEnded | Refusal::ClaimConflict { .. } => {
                Code::IdempotencyConflict
            }
            Refusal::InProgress { .. } => Code::InProgress,
            Refusal::AlreadyCharged { .. } => Code::AlreadyCharged,
            Refusal::OutOfRange(_) => Code::InvalidRequest,
            // The gate deals with these itself; should one come through, the ledger could not decide.
            Refusal::Stale | Refusal::Outdated | Refusal::TooOld | Refusal::UnknownHold => {
                Code::LedgerUnavailable
            }
        },
    }
}
