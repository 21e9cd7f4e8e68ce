//! The configuration as one worker uses it: looked up once, when it is loaded, so that a request looks up nothing but its path.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue};
use bytes::Bytes;

use crate::config::{Api, Config, OnDisconnect};
use crate::domain::entry::Detail;
use crate::domain::model::{Model, Models, NamePattern};
use crate::domain::price::Price;
use crate::http::headers::{RequestRules, ResponseRules};
use crate::http::pattern::{Lookup, Matcher, Pattern};
use crate::http::target::normalise;
use crate::ledger::detail::Note;
use crate::service::plans::Plans;
use crate::service::tariff::{self, Quoting, Tariff, Tariffed};
use crate::telemetry::metrics::{DataPlane, RouteMeters};
use crate::tokenizer::{Tokenizer, TokenizerError};

use super::forward::{Setup, Upstream, UpstreamError};
use super::metering::Metering;
use super::quote;
use super::rescue::Shape;

/// See the module.
pub(super) struct Live {
    pub(super) routes: Matcher<Arc<Route>>,
    pub(super) plans: Arc<Plans>,
    pub(super) models: Models,
    /// By name, those that models name.
    pub(super) tokenizers: HashMap<Arc<str>, Arc<Tokenizer>>,
    /// The same, as in the configuration, for people.
    models_in_order: Vec<(Vec<NamePattern>, Arc<Model>)>,
    pub(super) request_rules: RequestRules,
    /// Where a client's key may stand, in this order.
    pub(super) key_headers: Vec<HeaderName>,
    pub(super) top_up_url: Option<String>,
    /// Packs can be bought here.
    pub(super) sells: bool,
    pub(super) body_timeout: Duration,
    pub(super) header_timeout: Duration,
    pub(super) idle_timeout: Duration,
    upstreams: HashMap<Arc<str>, Arc<Upstream>>,
    /// As in the configuration, for people.
    in_order: Vec<(Pattern, Arc<Route>)>,
}

/// A route.
pub(super) struct Route {
    pub(super) id: Arc<str>,
    pub(super) shape: Shape,
    pub(super) price: Price,
    /// Where it is priced by tokens.
    pub(super) metering: Option<Metering>,
    /// Its answers are lists of models.
    pub(super) lists_models: bool,
    /// The header in which the upstream reports its price.
    pub(super) cost_header: Option<HeaderName>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) upgrade: bool,
    pub(super) on_disconnect: OnDisconnect,
    pub(super) body_max: u64,
    pub(super) first_byte_timeout: Duration,
    /// How long answers to requests under an idempotency key are kept.
    pub(super) keep_answers: Option<Duration>,
    pub(super) origins: Origins,
    pub(super) meters: Arc<RouteMeters>,
    /// What the journal says of a request on this route, and of its charge.
    pub(super) detail: Detail,
    pub(super) charged: Detail,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Route {
    /// Whether a request goes on to the head of the answer when its client has left: where it shall be finished, and where only the upstream knows
    /// the price.
    pub(super) fn outlives_its_client(&self) -> bool {
        self.on_disconnect == OnDisconnect::Finish
            || self.cost_header.is_some()
            || matches!(self.price, Price::Measured { .. })
    }

    /// Whether answers have to be read, though not for tokens.
    pub(super) fn reads_answers(&self) -> bool {
        self.lists_models || matches!(self.price, Price::Measured { .. })
    }
}

/// Whose pages may call a route.
#[derive(Debug)]
pub(super) enum Origins {
    None,
    All,
    Listed(Vec<HeaderValue>),
}

/// What a worker brings to a configuration.
pub(super) struct Bench<'a> {
    /// The worker's number, from 0.
    pub(super) worker: usize,
    /// How many there are: limits for all are shared out.
    pub(super) workers: usize,
    pub(super) meters: &'a DataPlane,
}

/// A configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Something about an upstream.
    #[error("upstream {name}: {error}")]
    Upstream {
        /// Its name.
        name: Arc<str>,
        /// What.
        error: UpstreamError,
    },
    /// A tokenizer that a model names.
    #[error(transparent)]
    Tokenizer(TokenizerError),
    /// A route without an upstream, or twice the same; a mistake in the code, since the configuration was checked.
    #[error("the routes do not fit together: {0}")]
    Routes(String),
}

impl Live {
    /// Connections to upstreams that are the same as `before` are kept.
    pub(super) fn build(
        config: &Config,
        plans: &Arc<Plans>,
        bench: &Bench<'_>,
        before: Option<&Live>,
    ) -> Result<Live, LiveError> {
        let mut upstreams = HashMap::new();
        for (name, given) in &config.upstreams {
            let kept = before
                .and_then(|live| live.upstreams.get(name))
                .filter(|upstream| upstream.is(given));
            let upstream = match kept {
                Some(kept) => Arc::clone(kept),
                None => {
                    let setup = Setup {
                        workers: bench.workers,
                        meters: bench.meters.upstream(bench.worker, name),
                    };
                    let fresh = Upstream::new(given, setup);
                    Arc::new(fresh.map_err(|error| LiveError::Upstream {
                        name: Arc::clone(name),
                        error,
                    })?)
                }
            };
            upstreams.insert(Arc::clone(name), upstream);
        }
        let mut routes = Vec::with_capacity(config.routes.len());
        for given in &config.routes {
            let upstream = upstreams
                .get(&given.upstream)
                .ok_or_else(|| LiveError::Routes(format!("{} has no upstream", given.id)))?;
            routes.push((given.pattern.clone(), Arc::new(route(given, upstream, bench))));
        }
        let in_order = routes.clone();
        let routes = Matcher::new(routes).map_err(|conflict| LiveError::Routes(conflict.to_string()))?;
        Ok(Live {
            request_rules: request_rules(config, &routes),
            routes,
            plans: Arc::clone(plans),
            models: models(config),
            tokenizers: tokenizers(config)?,
            models_in_order: config.models.clone(),
            key_headers: config.server.key_headers.clone(),
            top_up_url: config.server.top_up_url.clone(),
            sells: config
                .stripe
                .as_ref()
                .is_some_and(|stripe| !stripe.packs.is_empty()),
            body_timeout: config.server.body_timeout,
            header_timeout: config.server.header_timeout,
            idle_timeout: config.server.idle_timeout,
            upstreams,
            in_order,
        })
    }

    /// The names by which customers may ask for a model that an upstream lists under `name`.
    pub(super) fn names_of(&self, name: &str) -> Vec<String> {
        let own = self.models.find(name);
        let own = own.filter(|model| model.upstream_name.as_deref().is_none_or(|told| told == name));
        let mut names: Vec<String> = own.iter().map(|_| name.to_owned()).collect();
        for (aliases, model) in &self.models_in_order {
            if model.upstream_name.as_deref() == Some(name) {
                let others = aliases.iter().filter_map(NamePattern::name);
                names.extend(others.filter(|other| *other != name).map(str::to_owned));
            }
        }
        names
    }

    /// Once a second: closes what nobody needs any more.
    pub(super) fn tidy(&self) {
        self.upstreams.values().for_each(|upstream| upstream.tidy());
    }
}

fn route(given: &crate::config::Route, upstream: &Arc<Upstream>, bench: &Bench<'_>) -> Route {
    let note = || Note::by("proxy", "request").route(&given.id);
    Route {
        id: Arc::clone(&given.id),
        shape: match given.api {
            Api::Metered(api) => Shape::of(api),
            Api::OpenAi | Api::OpenAiModels => Shape::OpenAi,
            Api::Anthropic => Shape::Anthropic,
            Api::Plain => Shape::Problem,
        },
        cost_header: match &given.price {
            Price::Reported { header, .. } => HeaderName::from_bytes(header.as_bytes()).ok(),
            _ => None,
        },
        metering: metering(given, upstream),
        lists_models: given.api == Api::OpenAiModels,
        price: given.price.clone(),
        upstream: Arc::clone(upstream),
        upgrade: given.upgrade,
        on_disconnect: given.on_disconnect,
        body_max: given.body_max as u64,
        first_byte_timeout: given.first_byte_timeout,
        keep_answers: given.keep_answers,
        origins: origins(&given.cors),
        meters: bench.meters.route(bench.worker, &given.id),
        detail: note().detail(),
        charged: note().price(tariff::told(&given.price)).detail(),
    }
}

fn metering(given: &crate::config::Route, upstream: &Upstream) -> Option<Metering> {
    match (&given.price, given.api) {
        (Price::Tokens(terms), Api::Metered(api)) => Some(Metering {
            api,
            terms: *terms,
            kind: upstream.kind(),
            model: given.model.clone(),
            allow: given.allow.clone(),
            query: given.query.clone(),
        }),
        _ => None,
    }
}

fn tokenizers(config: &Config) -> Result<HashMap<Arc<str>, Arc<Tokenizer>>, LiveError> {
    let named = config
        .models
        .iter()
        .filter_map(|(_, model)| model.tokenizer.clone());
    let load = |name: Arc<str>| Tokenizer::load(&name).map(|tokenizer| (name, tokenizer));
    named
        .map(|name| load(name).map_err(LiveError::Tokenizer))
        .collect()
}

fn models(config: &Config) -> Models {
    let named = config
        .models
        .iter()
        .flat_map(|(names, model)| names.iter().map(|name| (name.clone(), Arc::clone(model))));
    Models::new(named)
}

fn origins(given: &[Arc<str>]) -> Origins {
    match given {
        [] => Origins::None,
        [all] if &**all == "*" => Origins::All,
        listed => Origins::Listed(
            listed
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin).ok())
                .collect(),
        ),
    }
}

/// Cookies belong to whoever set them, which is not the upstream; a header that reports a price counts only from the upstream.
fn request_rules(config: &Config, routes: &Matcher<Arc<Route>>) -> RequestRules {
    let mut strip = vec![::http::header::COOKIE];
    for (_, route) in routes.iter() {
        if let Some(header) = route
            .cost_header
            .as_ref()
            .filter(|header| !strip.contains(header))
        {
            strip.push(header.clone());
        }
    }
    RequestRules {
        lines_max: config.server.headers_max,
        bytes_max: config.server.header_max,
        strip,
        end_to_end: config.server.key_headers.clone(),
    }
}

impl Origins {
    /// What `access-control-allow-origin` says to a page of this origin.
    pub(super) fn allow(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match self {
            Origins::None => None,
            Origins::All => Some(HeaderValue::from_static("*")),
            Origins::Listed(listed) => listed.contains(origin).then(|| origin.clone()),
        }
    }
}

impl Tariff for Arc<Live> {
    fn routes(&self) -> Vec<Tariffed> {
        let shown = self.in_order.iter().map(|(pattern, route)| Tariffed {
            id: route.id.to_string(),
            pattern: pattern.to_string(),
            price: route.price.clone(),
        });
        shown.collect()
    }

    fn models(&self) -> &[(Vec<NamePattern>, Arc<Model>)] {
        &self.models_in_order
    }

    fn quote<'a>(&'a self, method: &'a str, path: &'a str, body: Bytes) -> Quoting<'a> {
        Box::pin(async move {
            let path = path.split('?').next().unwrap_or_default();
            let path = normalise(path).map_err(|error| error.to_string())?;
            let Lookup::Found(_, route) = self.routes.find(method, &path) else {
                return Err(format!("no route serves {method} {path}"));
            };
            let quote = quote::of(self, route, body).await?;
            Ok((route.id.to_string(), quote))
        })
    }
}

/// Rules for answers of an upstream.
pub(super) fn response_rules(given: &crate::config::Upstream) -> ResponseRules {
    let mut rules = ResponseRules::default();
    rules.strip.extend(given.strip_response_headers.iter().cloned());
    rules
}
