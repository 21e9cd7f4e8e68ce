//! A configuration as a flat list of settings: what two of them are compared by. Every struct is taken apart by all its fields, so that a new one cannot be
//! forgotten here.

mod stripe;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use super::section::join;
use super::summary::show_price;
use super::units::{show_duration, show_size};
use super::{
    Admin, AdminToken, Config, Gift, Ledger, Log, Plan, Redis, Route, Server, Shown, Store, Tls, Upstream,
    Verify,
};
use crate::domain::credits::Credits;
use crate::domain::hold::OnExpiry;
use crate::domain::limits::Limits;
use crate::domain::model::{Declared, Model, NamePattern};
use crate::domain::price::{HoldMode, Price, Terms, WhenShort};
use crate::domain::usage::Class;

/// What a setting is: as it may be shown, and whatever else tells it from another (a secret).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) shown: String,
    hidden: Vec<u8>,
}

/// Settings by their key in the thing they belong to; what is not set is not there.
pub(super) type Settings = BTreeMap<String, Setting>;

/// What a configuration says: of the gate as a whole, and of each thing that has a name.
pub(super) struct Flat {
    pub(super) gate: Settings,
    /// By `routes[ID]`, `upstreams.NAME`, `models.NAME`, `plans.NAME`, `stripe.packs[ID]`.
    pub(super) things: BTreeMap<String, Settings>,
}

pub(super) fn flatten(config: &Config) -> Flat {
    let Config {
        server,
        admin,
        ledger,
        log,
        upstreams,
        routes,
        models,
        plans,
        default_plan,
        stripe,
        places: _,
    } = config;
    let mut gate = List::default();
    gate.maybe("default_plan", default_plan.as_ref());
    of_server(&mut gate, server);
    of_admin(&mut gate, admin);
    of_ledger(&mut gate, ledger);
    of_log(&mut gate, log);
    if let Some(stripe) = stripe {
        stripe::of_stripe(&mut gate, stripe);
    }
    let mut things = BTreeMap::new();
    for (name, upstream) in upstreams {
        things.insert(join("upstreams", name), of_upstream(upstream));
    }
    for route in routes {
        things.insert(format!("routes[{}]", route.id), of_route(route));
    }
    for (names, model) in models {
        things.insert(join("models", &model.name), of_model(names, model));
    }
    for (id, plan) in plans {
        things.insert(join("plans", id.as_str()), of_plan(plan));
    }
    for pack in stripe.iter().flat_map(|stripe| &stripe.packs) {
        things.insert(format!("stripe.packs[{}]", pack.id), stripe::of_pack(pack));
    }
    Flat { gate: gate.0, things }
}

#[derive(Default)]
struct List(Settings);

impl List {
    fn hidden(&mut self, key: &str, shown: impl Display, hidden: &[u8]) {
        let setting = Setting {
            shown: shown.to_string(),
            hidden: hidden.to_vec(),
        };
        self.0.insert(key.to_owned(), setting);
    }

    fn put(&mut self, key: &str, value: impl Display) {
        self.hidden(key, value, &[]);
    }

    fn maybe(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn time(&mut self, key: &str, value: Duration) {
        self.put(key, show_duration(value));
    }

    fn size(&mut self, key: &str, value: usize) {
        self.put(key, show_size(value as u64));
    }

    fn path(&mut self, key: &str, value: Option<&Path>) {
        self.maybe(key, value.map(Path::display));
    }

    /// Nothing for an empty list.
    fn list(&mut self, key: &str, values: impl IntoIterator<Item = impl Display>) {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        self.maybe(key, (!values.is_empty()).then(|| values.join(", ")));
    }
}

fn of_server(list: &mut List, server: &Server) {
    let Server {
        listen,
        tls,
        body_max,
        shutdown_grace,
        header_timeout,
        body_timeout,
        idle_timeout,
        tls_timeout,
        bodies_max,
        answers_max,
        connections_max,
        connections_per_client_max,
        requests_max,
        streams_max,
        header_max,
        headers_max,
        key_headers,
        top_up_url,
        workers,
    } = server;
    list.put("server.listen", listen);
    of_tls(list, "server", tls.as_ref());
    list.size("server.body_max", *body_max);
    list.time("server.shutdown_grace", *shutdown_grace);
    list.time("server.header_timeout", *header_timeout);
    list.time("server.body_timeout", *body_timeout);
    list.time("server.idle_timeout", *idle_timeout);
    list.time("server.tls_timeout", *tls_timeout);
    list.size("server.bodies_max", *bodies_max);
    list.size("server.answers_max", *answers_max);
    list.put("server.connections_max", connections_max);
    list.put("server.connections_per_client_max", connections_per_client_max);
    list.put("server.requests_max", requests_max);
    list.put("server.streams_max", streams_max);
    list.size("server.header_max", *header_max);
    list.put("server.headers_max", headers_max);
    list.list("server.key_headers", key_headers);
    list.maybe("server.top_up_url", top_up_url.as_ref());
    list.put("server.workers", workers);
}

fn of_tls(list: &mut List, section: &str, tls: Option<&Tls>) {
    if let Some(Tls { cert, key }) = tls {
        list.path(&format!("{section}.tls.cert"), Some(cert));
        list.path(&format!("{section}.tls.key"), Some(key));
    }
}

fn of_admin(list: &mut List, admin: &Admin) {
    let Admin {
        listen,
        tls,
        tokens,
        grant_max,
    } = admin;
    list.put("admin.listen", listen);
    list.put("admin.grant_max", grant_max);
    of_tls(list, "admin", tls.as_ref());
    for AdminToken { name, token, role } in tokens {
        let key = format!("admin.tokens[{name}]");
        list.hidden(
            &key,
            format!("{}, {token}", role.as_str()),
            token.expose().as_bytes(),
        );
    }
}

fn of_ledger(list: &mut List, ledger: &Ledger) {
    let Ledger {
        store,
        hold_ttl,
        on_expiry,
        timeout,
    } = ledger;
    match store {
        Store::Embedded { path } => {
            list.put("ledger.backend", "embedded");
            list.path("ledger.path", Some(path));
        }
        Store::Redis(Redis {
            urls,
            cluster,
            ca,
            partitions,
        }) => {
            list.put("ledger.backend", "redis");
            let (key, shown) = if *cluster {
                ("ledger.urls", urls.len())
            } else {
                ("ledger.url", 1)
            };
            let texts: Vec<String> = urls.iter().take(shown).map(ToString::to_string).collect();
            let hidden: Vec<&str> = urls.iter().map(|url| url.url.expose()).collect();
            list.hidden(key, texts.join(", "), hidden.join(" ").as_bytes());
            list.path("ledger.ca", ca.as_deref());
            list.maybe("ledger.partitions", *partitions);
        }
    }
    list.time("ledger.hold_ttl", Duration::from(*hold_ttl));
    let ending = match on_expiry {
        OnExpiry::Release => "release",
        OnExpiry::Capture => "capture",
    };
    list.put("ledger.on_expiry", ending);
    list.time("ledger.timeout", *timeout);
}

fn of_log(list: &mut List, log: &Log) {
    let Log { format, level } = log;
    list.put("log.format", format.as_str());
    list.put("log.level", level.as_str());
}

fn of_upstream(upstream: &Upstream) -> Settings {
    let Upstream {
        name: _,
        urls,
        headers,
        connect_timeout,
        first_byte_timeout,
        idle_timeout,
        total_timeout,
        http2,
        ca,
        connections_max,
        kind,
        strip_response_headers,
        allow_link_local,
    } = upstream;
    let mut list = List::default();
    list.list("urls", urls);
    for (name, value) in headers {
        list.hidden(&join("headers", name.as_str()), "***", value.as_bytes());
    }
    list.time("connect_timeout", *connect_timeout);
    list.time("first_byte_timeout", *first_byte_timeout);
    list.time("idle_timeout", *idle_timeout);
    list.maybe("total_timeout", total_timeout.map(show_duration));
    list.put("http2", http2);
    list.path("ca", ca.as_deref());
    list.put("connections_max", connections_max);
    list.put("kind", kind.as_str());
    list.list("strip_response_headers", strip_response_headers);
    list.put("allow_link_local", allow_link_local);
    list.0
}

fn of_route(route: &Route) -> Settings {
    let Route {
        index: _,
        id: _,
        pattern,
        upstream,
        price,
        api,
        allow,
        model,
        query,
        upgrade,
        on_disconnect,
        body_max,
        first_byte_timeout,
        keep_answers,
        cors,
    } = route;
    let mut list = List::default();
    list.put("match", pattern);
    list.put("upstream", upstream);
    list.put("cost", show_price(price));
    list.put("api", api.as_str());
    if let Price::Tokens(terms) = price {
        of_terms(&mut list, terms);
        list.list("query", query);
    }
    list.list("allow", allow);
    list.maybe("model", model.as_ref());
    list.put("upgrade", upgrade);
    list.put("on_disconnect", on_disconnect.as_str());
    list.size("body_max", *body_max);
    list.time("first_byte_timeout", *first_byte_timeout);
    list.maybe("keep_answers", keep_answers.map(show_duration));
    list.list("cors", cors);
    list.0
}

fn of_terms(list: &mut List, terms: &Terms) {
    let Terms {
        hold,
        when_short,
        output_min,
        slice,
        usage_cost,
    } = terms;
    let hold = match hold {
        HoldMode::Full => "full",
        HoldMode::Growing => "growing",
    };
    list.put("hold", hold);
    let when_short = match when_short {
        WhenShort::Shorten => "shorten",
        WhenShort::Refuse => "refuse",
    };
    list.put("when_short", when_short);
    list.put("output_min", output_min);
    list.put("slice", slice);
    list.put("usage_cost", usage_cost);
}

fn of_model(names: &[NamePattern], model: &Model) -> Settings {
    let Model {
        name: _,
        upstream_name,
        rates,
        long,
        tokenizer,
        output_max,
        declared,
    } = model;
    let Declared {
        image,
        audio,
        document,
        request,
        tool,
    } = declared;
    let mut list = List::default();
    list.list("aliases", names.iter().skip(1));
    list.maybe("upstream_name", upstream_name.as_ref());
    for class in Class::ALL {
        list.put(class.as_str(), rates.get(class));
    }
    if let Some((above, rates)) = long {
        list.put("long.above", above);
        for class in Class::ALL {
            list.put(&join("long", class.as_str()), rates.get(class));
        }
    }
    list.maybe("tokenizer", tokenizer.as_ref());
    list.put("output_tokens_max", output_max);
    list.maybe("image_tokens", *image);
    list.maybe("audio_tokens", *audio);
    list.maybe("document_tokens", *document);
    list.put("request_tokens", request);
    list.put("tool_tokens", tool);
    list.0
}

fn of_plan(plan: &Plan) -> Settings {
    let Plan {
        id: _,
        routes,
        models,
        limits,
        credit_line,
        verify,
        bill_every,
    } = plan;
    let Limits {
        requests_per_minute,
        tokens_per_minute,
        concurrent,
        spend_per_day,
        spend_per_month,
    } = limits;
    let mut list = List::default();
    if let Some(routes) = routes {
        let routes: Vec<&str> = routes.iter().map(|route| &**route).collect();
        list.put("routes", format!("[{}]", routes.join(", ")));
    }
    if let Some(models) = models {
        let models: Vec<String> = models.iter().map(ToString::to_string).collect();
        list.put("models", format!("[{}]", models.join(", ")));
    }
    list.maybe("requests_per_minute", *requests_per_minute);
    list.maybe("tokens_per_minute", *tokens_per_minute);
    list.maybe("concurrent", *concurrent);
    list.maybe("spend_per_day", *spend_per_day);
    list.maybe("spend_per_month", *spend_per_month);
    list.maybe(
        "credit_line",
        (*credit_line != Credits::ZERO).then_some(credit_line),
    );
    if let Some(verify) = verify {
        of_verify(&mut list, verify);
    }
    list.maybe("bill_every", *bill_every);
    list.0
}

fn of_verify(list: &mut List, verify: &Verify) {
    let Verify {
        by,
        opens,
        gift,
        prepaid_cards,
    } = verify;
    list.put("verify.by", by.as_str());
    list.put("verify.opens", opens);
    match by {
        Shown::Card => {}
        Shown::Charge { amount, currency } => list.put("verify.amount", currency.show(*amount)),
        Shown::Payment(credits) => list.put("verify.credits_paid", credits),
    }
    if let Some(Gift {
        credits,
        expires_after,
    }) = gift
    {
        list.put("verify.credits", credits);
        list.maybe(
            "verify.expires_after",
            expires_after.map(|life| show_duration(life.into())),
        );
    }
    if *prepaid_cards {
        list.put("verify.prepaid_cards", prepaid_cards);
    }
}
