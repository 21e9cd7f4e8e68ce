//! An upstream: one or several servers that do the same.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::http::header::HOST;
use ::http::uri::Authority;
use ::http::{HeaderName, HeaderValue};
use rustls::pki_types::ServerName;

use crate::config::{BaseUrl, Kind};
use crate::http::headers::ResponseRules;
use crate::telemetry::metrics::UpstreamMeters;

use super::super::live::response_rules;
use super::connect::Dial;
use super::endpoint::Endpoint;
use super::tls;

/// See the module.
pub(in super::super) struct Upstream {
    given: Arc<crate::config::Upstream>,
    pub(in super::super) name: Arc<str>,
    endpoints: Vec<Arc<Endpoint>>,
    /// Where to begin looking, so that servers with equally much to do take turns.
    turn: AtomicUsize,
    /// Set on every request, in place of what the client sent.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) response_rules: ResponseRules,
    pub(super) idle_timeout: Duration,
    pub(super) total_timeout: Option<Duration>,
    pub(super) meters: Arc<UpstreamMeters>,
}

/// What an upstream is set up with.
pub(in super::super) struct Setup {
    /// Workers, over which connections are shared out.
    pub(in super::super) workers: usize,
    pub(in super::super) meters: Arc<UpstreamMeters>,
}

/// An upstream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Its certificates.
    #[error("{path}: {error}")]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: io::Error,
    },
    /// A host or a path that is none; a mistake in the code, since the configuration was checked.
    #[error("{0} is not an address that can be asked")]
    Address(BaseUrl),
}

impl Upstream {
    /// Nothing is connected yet.
    pub(in super::super) fn new(
        given: &Arc<crate::config::Upstream>,
        setup: Setup,
    ) -> Result<Upstream, UpstreamError> {
        let tls = match given.urls.iter().any(|url| url.tls) {
            true => Some(
                tls::connectors(given.ca.as_deref()).map_err(|error| ca_error(given.ca.as_deref(), error))?,
            ),
            false => None,
        };
        let connections_max = given.connections_max.div_ceil(setup.workers.max(1));
        let mut endpoints = Vec::with_capacity(given.urls.len());
        for url in &given.urls {
            let bad = || UpstreamError::Address(url.clone());
            let authority = Authority::try_from(url.authority()).map_err(|_| bad())?;
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?;
            let tls = match tls.as_ref().filter(|_| url.tls) {
                Some(connectors) => {
                    let name = ServerName::try_from(url.host.to_string()).map_err(|_| bad())?;
                    Some((connectors.clone(), name))
                }
                None => None,
            };
            let dial = Dial {
                host: Arc::clone(&url.host),
                port: url.port,
                tls,
                http2: given.http2,
                allow_link_local: given.allow_link_local,
                timeout: given.connect_timeout,
            };
            let endpoint = Endpoint::new(
                dial,
                authority,
                host,
                Arc::clone(&url.path),
                connections_max,
                Arc::clone(&setup.meters),
            );
            endpoints.push(Arc::new(endpoint));
        }
        Ok(Upstream {
            given: Arc::clone(given),
            name: Arc::clone(&given.name),
            endpoints,
            turn: AtomicUsize::new(0),
            // The host is the server's own unless the operator says otherwise.
            headers: given.headers.clone(),
            response_rules: response_rules(given),
            idle_timeout: given.idle_timeout,
            total_timeout: given.total_timeout,
            meters: setup.meters,
        })
    }

    /// Whether this is that, so that its connections can be kept. A file of certificates may have changed under its name.
    pub(in super::super) fn is(&self, given: &crate::config::Upstream) -> bool {
        *self.given == *given && given.ca.is_none()
    }

    /// What kind of server it is.
    pub(in super::super) fn kind(&self) -> Kind {
        self.given.kind
    }

    /// What its answers may not say to clients.
    pub(in super::super) fn response_rules(&self) -> &ResponseRules {
        &self.response_rules
    }

    /// Once a second.
    pub(in super::super) fn tidy(&self) {
        self.endpoints.iter().for_each(|endpoint| endpoint.tidy());
    }

    /// Whether the operator sets the `Host` header.
    pub(super) fn sets_host(&self) -> bool {
        self.headers.iter().any(|(name, _)| *name == HOST)
    }

    /// The server with the least to do, of those that could be reached lately, else of all; none of those `tried`.
    pub(super) fn pick(&self, tried: &[Arc<Endpoint>]) -> Option<&Arc<Endpoint>> {
        if let ([only], []) = (self.endpoints.as_slice(), tried) {
            return Some(only);
        }
        let begin = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn =
            (0..self.endpoints.len()).filter_map(|i| self.endpoints.get((begin + i) % self.endpoints.len()));
        let untried = in_turn.filter(|endpoint| !tried.iter().any(|other| Arc::ptr_eq(other, endpoint)));
        // Stable: of several with as little to do, the first in turn.
        untried.min_by_key(|endpoint| (endpoint.is_passed_over(), endpoint.in_flight()))
    }
}

fn ca_error(path: Option<&Path>, error: io::Error) -> UpstreamError {
    UpstreamError::Ca {
        path: path.map(Path::to_path_buf).unwrap_or_default(),
        error,
    }
}
