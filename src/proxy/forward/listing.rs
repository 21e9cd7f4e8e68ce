//! Lists of models: a customer sees those that it may use, under the names that it may use.

use ::http::Response;
use ::http::StatusCode;
use ::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use bytes::Bytes;
use tokio::time::Instant;

use crate::meter::answer::decode::whole;
use crate::meter::listing::filtered;

use super::super::body::ReplyBody;
use super::super::fault::{Fault, Rejected};
use super::super::stage::Reply;
use super::settle::{Answer, Charged, Cost};
use super::whole::{Read, encoding, read};

impl Answer<'_> {
    /// Whether it is a list of models.
    pub(super) fn is_listing(&self) -> bool {
        self.route.lists_models && self.response.status() == StatusCode::OK
    }

    /// Passes on what the customer may see of it.
    pub(super) async fn settle_listing(self, end: Option<Instant>) -> Result<Reply, Rejected> {
        let mut answer = self.fit()?;
        let share = answer.exchange.answer_share();
        let idle = answer.route.upstream.idle_timeout;
        let read = read(answer.response.body_mut(), idle, end, share);
        let list = match read.await {
            Ok(Read::Whole(bytes)) => answer.filter(&bytes),
            Ok(Read::Part(_)) => None,
            Ok(Read::Crowded(_)) => return Err(answer.broken(Fault::NoRoom)),
            Err(fault) => return Err(answer.broken(fault)),
        };
        let Some(list) = list else {
            tracing::warn!(route = %answer.route.id, "the upstream's answer is no list of models, or one of more than 1 MiB");
            return Err(answer.broken(Fault::UpstreamBroken));
        };
        let Charged {
            mut head,
            lease,
            mut exchange,
            ..
        } = answer.charge(Cost::ByHead);
        lease.give_back();
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove(CONTENT_ENCODING);
        exchange.sent = list.len() as u64;
        Ok(Response::from_parts(head, ReplyBody::own(list, exchange)))
    }

    fn filter(&self, body: &[u8]) -> Option<Bytes> {
        let live = &self.exchange.live;
        let plan = self
            .exchange
            .known
            .as_ref()
            .map(|known| known.plan(&live.plans))?;
        let names = |name: &str| {
            let mut names = live.names_of(name);
            names.retain(|name| plan.opens_model(name));
            names
        };
        let body = whole(encoding(self.response.headers()), body).ok()?;
        filtered(&body, names).map(Bytes::from)
    }
}
