//! Webhooks: signed, and sent as badly as a plan says.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use super::FakeStripe;
use super::chance::Chance;
use crate::rig::client::HttpClient;

/// Where webhooks go.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) addr: SocketAddr,
    pub(crate) path: String,
}

/// One webhook, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) event: String,
    pub(crate) kind: String,
    /// `Content-Type` and `Stripe-Signature`.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// What became of one sending.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Delivery {
    pub(crate) event: String,
    pub(crate) kind: String,
    /// None: no answer.
    pub(crate) status: Option<u16>,
    /// It bore a false signature.
    pub(crate) forged: bool,
}

/// How well webhooks are sent. Chances are in a hundred.
#[derive(Clone, Debug)]
pub(crate) struct Delivering {
    pub(crate) seed: u64,
    /// Never sent at all; only the list of events has them.
    pub(crate) lost: u32,
    /// Sent twice.
    pub(crate) repeated: u32,
    /// Sent once more at the end of the round, with a later signature.
    pub(crate) resigned: u32,
    /// Kept for the next round.
    pub(crate) delayed: u32,
    /// Preceded by a copy with other content and a false signature.
    pub(crate) forged: u32,
    pub(crate) shuffled: bool,
    /// How often a webhook that gets no 2xx is sent before it is left for the next round.
    pub(crate) attempts: usize,
    /// How many are under way at a time; a repeated one beside itself, unless they are shuffled.
    pub(crate) together: usize,
}

impl Delivering {
    /// Each once, in order; a refused one twice more.
    pub(crate) fn well() -> Delivering {
        Delivering {
            seed: 0,
            lost: 0,
            repeated: 0,
            resigned: 0,
            delayed: 0,
            forged: 0,
            shuffled: false,
            attempts: 3,
            together: 1,
        }
    }

    /// All that may happen, none of it often enough to stop everything.
    pub(crate) fn badly(seed: u64) -> Delivering {
        Delivering {
            seed,
            lost: 10,
            repeated: 20,
            resigned: 20,
            delayed: 20,
            forged: 10,
            shuffled: true,
            ..Delivering::well()
        }
    }
}

/// Signs a body: one `v1` for each secret.
pub(crate) fn signature(time: i64, body: &str, secrets: &[String]) -> String {
    let mut header = format!("t={time}");
    for secret in secrets {
        let mac = hmac_sha256(secret.as_bytes(), format!("{time}.{body}").as_bytes());
        header.push_str(",v1=");
        header.extend(mac.iter().map(|byte| format!("{byte:02x}")));
    }
    header
}

/// RFC 2104.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

/// One planned sending.
#[derive(Clone, Debug)]
struct Sending {
    event: String,
    kind: String,
    body: String,
    forged: bool,
    later: bool,
}

impl FakeStripe {
    /// Where webhooks go from now on.
    pub(crate) fn deliver_to(&self, addr: SocketAddr, path: &str) {
        let path = path.to_owned();
        *super::lock(&self.endpoint) = Some(Endpoint { addr, path });
    }

    /// Replaces the secrets that webhooks are signed with; several while one is being rolled.
    pub(crate) fn sign_with(&self, secrets: &[&str]) {
        *super::lock(&self.secrets) = secrets.iter().map(|&secret| secret.to_owned()).collect();
    }

    /// From now on only events of these types are sent; a `*` at the end stands for any rest. The log of
    /// events has them all.
    pub(crate) fn subscribe(&self, kinds: &[&str]) {
        let kinds = kinds.iter().map(|&kind| kind.to_owned()).collect();
        *super::lock(&self.subscribed) = Some(kinds);
    }

    /// From now on signatures are this many seconds ahead of time, or behind.
    pub(crate) fn skew(&self, seconds: i64) {
        self.skew.store(seconds, std::sync::atomic::Ordering::SeqCst);
    }

    /// Signs any body as this Stripe would now.
    pub(crate) fn sign(&self, event: &str, kind: &str, body: String) -> Signed {
        self.sign_at(self.signing_time(), event, kind, body)
    }

    /// Signs any body with this time, in Unix seconds.
    pub(crate) fn sign_at(&self, time: i64, event: &str, kind: &str, body: String) -> Signed {
        let signature = signature(time, &body, &super::lock(&self.secrets));
        Signed {
            event: event.to_owned(),
            kind: kind.to_owned(),
            headers: vec![
                (
                    "content-type".to_owned(),
                    "application/json; charset=utf-8".to_owned(),
                ),
                ("stripe-signature".to_owned(), signature),
            ],
            body,
        }
    }

    /// Takes all that is not sent yet, snapshot events first, each signed; they count as delivered.
    pub(crate) fn take_undelivered(&self) -> Vec<Signed> {
        let waiting = self.waiting();
        for sending in &waiting {
            self.settle(&sending.event, true);
        }
        let sign = |sending: Sending| self.sign(&sending.event, &sending.kind, sending.body);
        waiting.into_iter().map(sign).collect()
    }

    /// Sends all that waits, as well as told; gives back every sending in its order.
    pub(crate) async fn deliver(&self, how: &Delivering) -> Vec<Delivery> {
        let mut done = Vec::new();
        for together in self.plan(how).chunks(how.together.max(1)) {
            let mut round = together.to_vec();
            for _ in 0..how.attempts.max(1) {
                let answers = self.send_together(&round).await;
                let mut refused = Vec::new();
                for (sending, delivery) in round.into_iter().zip(answers) {
                    let taken = delivery.status.is_some_and(|status| (200..300).contains(&status));
                    done.push(delivery);
                    match (taken, sending.forged) {
                        (true, false) => self.settle(&sending.event, true),
                        (false, false) => refused.push(sending),
                        (_, true) => {}
                    }
                }
                round = refused;
                if round.is_empty() {
                    break;
                }
            }
        }
        done
    }

    /// Sends these at the same time; the answers are in their order.
    async fn send_together(&self, round: &[Sending]) -> Vec<Delivery> {
        let endpoint = self.endpoint();
        let sendings: Vec<_> = round
            .iter()
            .map(|sending| {
                let (endpoint, signed, forged) =
                    (endpoint.clone(), self.sign_sending(sending), sending.forged);
                tokio::spawn(async move { send(&endpoint, &signed, forged).await })
            })
            .collect();
        let mut answers = Vec::new();
        for sending in sendings {
            answers.push(sending.await.expect("a sending does not panic"));
        }
        answers
    }

    /// Sends well until nothing waits; panics when something is refused.
    #[track_caller]
    pub(crate) fn deliver_all(&self) -> impl Future<Output = Vec<Delivery>> {
        let caller = std::panic::Location::caller();
        async move {
            let mut done = self.deliver(&Delivering::well()).await;
            // What the gate does about it meanwhile is told of as well.
            while !self.waiting().is_empty() {
                let taken = |delivery: &Delivery| delivery.status == Some(200);
                assert!(done.iter().all(taken), "refused ({caller}): {done:#?}");
                done.extend(self.deliver(&Delivering::well()).await);
            }
            done
        }
    }

    /// Sends a webhook that a test has in its hand, as it is.
    pub(crate) async fn send_signed(&self, signed: &Signed) -> Delivery {
        send(&self.endpoint(), signed, false).await
    }

    fn endpoint(&self) -> Endpoint {
        super::lock(&self.endpoint)
            .clone()
            .expect("deliver_to was called")
    }

    /// Sends one event of the log once more, whatever became of it.
    pub(crate) async fn resend(&self, event: &str) -> Delivery {
        let (kind, body) = {
            let world = self.world();
            let found = world.events().iter().find(|known| known.id == event);
            let thin = world.thin_events().iter().find(|known| known.id == event);
            match (found, thin) {
                (Some(found), _) => (found.kind.clone(), found.payload.to_string()),
                (None, Some(thin)) => (thin.kind.clone(), thin.notification.to_string()),
                (None, None) => panic!("no event {event}"),
            }
        };
        let event = event.to_owned();
        let sending = Sending {
            event,
            kind,
            body,
            forged: false,
            later: false,
        };
        send(&self.endpoint(), &self.sign_sending(&sending), false).await
    }

    fn plan(&self, how: &Delivering) -> Vec<Sending> {
        let mut chance = Chance::new(how.seed);
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for sending in self.waiting() {
            if chance.percent(how.lost) {
                self.settle(&sending.event, false);
                continue;
            }
            if chance.percent(how.delayed) {
                continue;
            }
            if chance.percent(how.forged) {
                let body = sending
                    .body
                    .replace("\"livemode\":false", "\"livemode\":false,\"forged\":true");
                first.push(Sending {
                    body,
                    forged: true,
                    ..sending.clone()
                });
            }
            if chance.percent(how.resigned) {
                last.push(Sending {
                    later: true,
                    ..sending.clone()
                });
            }
            if chance.percent(how.repeated) {
                first.push(sending.clone());
            }
            first.push(sending);
        }
        if how.shuffled {
            chance.shuffle(&mut first);
        }
        first.append(&mut last);
        first
    }

    /// Whether anything is neither sent nor lost.
    pub(crate) fn has_undelivered(&self) -> bool {
        !self.waiting().is_empty()
    }

    /// What is neither sent nor lost, oldest first.
    fn waiting(&self) -> Vec<Sending> {
        let world = self.world();
        let sending = |event: &str, kind: &str, body: &serde_json::Value| Sending {
            event: event.to_owned(),
            kind: kind.to_owned(),
            body: body.to_string(),
            forged: false,
            later: false,
        };
        let subscribed = super::lock(&self.subscribed).clone();
        let wanted = |kind: &str| {
            let fits = |own: &String| match own.strip_suffix('*') {
                Some(begin) => kind.starts_with(begin),
                None => own == kind,
            };
            subscribed.as_ref().is_none_or(|own| own.iter().any(fits))
        };
        let snapshots = world.events().iter();
        let snapshots = snapshots.filter(|event| !event.gone && wanted(&event.kind));
        let thin = world.thin_events().iter();
        let thin = thin.filter(|event| !event.gone && wanted(&event.kind));
        let snapshots = snapshots.map(|event| sending(&event.id, &event.kind, &event.payload));
        let thin = thin.map(|event| sending(&event.id, &event.kind, &event.notification));
        snapshots.chain(thin).collect()
    }

    /// Notes that an event is no longer to be sent.
    fn settle(&self, id: &str, delivered: bool) {
        let mut world = self.world();
        if let Some(event) = found(world.events_mut(), id, |event| &event.id) {
            event.gone = true;
            event.delivered |= delivered;
        }
        if let Some(event) = found(world.thin_mut(), id, |event| &event.id) {
            event.gone = true;
            event.delivered |= delivered;
        }
    }

    fn sign_sending(&self, sending: &Sending) -> Signed {
        let time = self.signing_time() + i64::from(sending.later);
        let (event, kind) = (&sending.event, &sending.kind);
        let mut signed = self.sign_at(time, event, kind, sending.body.clone());
        if sending.forged {
            let theirs = signature(time, &sending.body, &["whsec_of_somebody_else".to_owned()]);
            signed.headers[1].1 = theirs;
        }
        signed
    }
}

async fn send(endpoint: &Endpoint, signed: &Signed, forged: bool) -> Delivery {
    let mut request = HttpClient::new(endpoint.addr).post(&endpoint.path, signed.body.clone());
    for (name, value) in &signed.headers {
        request = request.header(name, value);
    }
    let answer = crate::rig::within("an answer to a webhook", request.try_send()).await;
    Delivery {
        event: signed.event.clone(),
        kind: signed.kind.clone(),
        status: answer.ok().map(|answer| answer.status()),
        forged,
    }
}

/// The event of this id; ids are in their order.
fn found<'a, E>(events: &'a mut [E], id: &str, name: fn(&E) -> &String) -> Option<&'a mut E> {
    let at = events
        .binary_search_by(|event| name(event).as_str().cmp(id))
        .ok()?;
    events.get_mut(at)
}
