//! What holds for any text; what becomes of single values; what two configurations differ by.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::config::schema::{self, Kind};
use crate::domain::credits::Credits;
use crate::domain::hold::OnExpiry;
use crate::domain::time::Span;

fn shipped_and_data() -> Vec<String> {
    let mut texts = vec![SHIPPED.to_owned()];
    texts.extend(
        folder("valid")
            .into_iter()
            .chain(folder("invalid"))
            .map(|(_, text)| text),
    );
    texts
}

fn costing(cost: &str) -> String {
    format!(
        "[upstreams.m]\nurl = \"http://m\"\n[[routes]]\nmatch = \"GET /m\"\nupstream = \"m\"\ncost = {cost}\n"
    )
}

#[test]
fn every_text_under_test_fits_the_laws_that_are_fuzzed() {
    for text in shipped_and_data() {
        fuzzing::config(text.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        fuzzing::config(&bytes);
    }

    #[test]
    fn any_toml_like_text_is_read_or_refused(text in r#"([a-z]{1,3}|[\[\]={}".,#$\n-]|[0-9]|"[a-z${}]*"){0,60}"#) {
        fuzzing::config(text.as_bytes());
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(
        which: prop::sample::Index,
        at: prop::sample::Index,
        cut in 0usize..20,
        put in r#"[\[\]={}"'.,#$\n a-c0-9-]{0,6}"#,
    ) {
        let texts = shipped_and_data();
        let text = which.get(&texts);
        let at = at.index(text.len());
        let bytes = [&text.as_bytes()[..at], put.as_bytes(), &text.as_bytes()[(at + cut).min(text.len())..]].concat();
        fuzzing::config(&bytes);
        // S2: nothing that a secret stands for is in a problem.
        if let Err(problems) = read(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(!problems.to_string().contains("canary"), "{}", problems);
        }
    }

    #[test]
    fn prices_are_exact(micros in 1..=Credits::MAX.micros()) {
        let amount = Credits::from_micros(micros).unwrap();
        let config = read(&costing(&amount.to_string())).unwrap();
        prop_assert_eq!(&config.routes[0].price, &Price::Fixed(amount));
    }

    #[test]
    fn any_name_that_is_not_known_is_reported(name in "[a-z_]{1,20}") {
        let known: BTreeSet<&str> = schema::declarations().iter().map(|declared| declared.name).collect();
        prop_assume!(!known.contains(&name[..]) && !["models", "stripe", "durability"].contains(&&name[..]));
        for section in ["server", "admin", "ledger", "log", "plans.p", "upstreams.x"] {
            let text = with_base(&format!("[{section}]\nurl = \"http://m\"\n{name} = 1\n"));
            let key = format!("{section}.{name}");
            let problems = read(&text).unwrap_err().problems;
            prop_assert!(problems.iter().any(|p| p.key == key && p.line == 3 && p.what == "is no setting"), "{:?}", problems);
        }
    }
}

#[test]
fn an_unknown_key_is_reported_in_every_table_there_is() {
    let mut tables = 0;
    for declared in schema::declarations() {
        // A table in tables by name: of the one called `x`.
        let shape = declared.shape.replace('*', "x");
        let (head, key) = match declared.kind {
            Kind::Table => (format!("[{shape}]"), shape),
            Kind::Named => (format!("[{}.x]", declared.shape), format!("{}.x", declared.shape)),
            Kind::Tables => (
                format!("[[{}]]", declared.shape),
                format!("{}[#1]", declared.shape),
            ),
            _ => continue,
        };
        let text = format!("{head}\nno_such_key = 1\n");
        let problems = read(&text).unwrap_err().problems;
        let key = format!("{key}.no_such_key");
        assert!(
            problems
                .iter()
                .any(|problem| problem.key == key && problem.line == 2),
            "{key}: {problems:?}"
        );
        tables += 1;
    }
    assert!(tables > 8);
    let top = read("no_such_key = 1\n").unwrap_err().problems;
    assert!(top.iter().any(|problem| problem.key == "no_such_key"));
}

#[test]
fn amounts_are_read_by_their_digits() {
    for (text, micros) in [
        ("0.15", 150_000),
        ("0.1", 100_000),
        ("+0.30", 300_000),
        ("2", 2_000_000),
        ("1_000.5", 1_000_500_000),
        ("0.000001", 1),
        ("4503599627.370497", 4_503_599_627_370_497),
        ("9007199254.740991", 9_007_199_254_740_991),
    ] {
        let price = &read(&costing(text)).unwrap().routes[0].price;
        assert_eq!(
            *price,
            Price::Fixed(Credits::from_micros(micros).unwrap()),
            "{text}"
        );
    }
    for text in ["0", "0.0", "-0.0", "0.000000000"] {
        assert_eq!(
            read(&costing(text)).unwrap().routes[0].price,
            Price::Free,
            "{text}"
        );
    }
}

#[test]
fn everything_set_comes_out_typed() {
    let (_, text) = folder("valid")
        .into_iter()
        .find(|(path, _)| path.ends_with("redis.toml"))
        .unwrap();
    let config = read(&text).unwrap();
    assert_eq!(config.server.header_timeout.as_millis(), 1_500);
    assert_eq!(
        (config.server.streams_max, config.server.connections_max),
        (64, 1_000)
    );
    assert_eq!(config.ledger.hold_ttl, Span::from_secs(30));
    assert_eq!(config.ledger.on_expiry, OnExpiry::Capture);
    let Store::Redis(redis) = &config.ledger.store else {
        panic!("not Redis")
    };
    assert_eq!(
        redis.urls[0].url.expose(),
        "rediss://fare:canary%2Fpass%40word%3A%231@redis.example.com/3"
    );
    assert_eq!((redis.cluster, redis.partitions), (false, Some(16)));
    assert_eq!(config.admin.tokens[0].name, "admin");
    assert_eq!(config.admin.tokens[1].token.expose(), "canary-billing-token");
    assert_eq!(config.admin.tokens[1].role, Role::Operate);
    let models = &config.upstreams["models"];
    assert_eq!(models.headers[0].0, "authorization");
    assert_eq!(models.headers[0].1, "Bearer canary-upstream");
    assert!(models.headers.iter().all(|(_, value)| value.is_sensitive()));
    assert_eq!(models.headers[1].1, "$5 or ${NOT}");
    let free = &config.plans[&PlanId::new("free").unwrap()];
    assert_eq!(free.limits.spend_per_month, Some("10.5".parse().unwrap()));
    assert_eq!(free.routes.as_ref().unwrap().len(), 2);
    let pro = &config.plans[&PlanId::new("pro").unwrap()];
    assert_eq!(pro.routes.as_ref().unwrap().len(), 6);
    assert_eq!(pro.credit_line, "5".parse().unwrap());
    let route = |id: &str| config.routes.iter().find(|route| &*route.id == id).unwrap();
    assert_eq!(route("POST /v1/rerank").first_byte_timeout.as_secs(), 10);
    assert_eq!(route("POST /v1/rerank").body_max, 65_536);
    assert_eq!(route("rest").first_byte_timeout.as_secs(), 180);
    assert_eq!(route("rest").body_max, 1_048_576);
    assert_eq!(
        route("POST /v1/custom/*").price,
        Price::Reported {
            header: "x-credits-used".into(),
            hold: "0.5".parse().unwrap()
        }
    );
    assert!(
        config
            .routes
            .iter()
            .enumerate()
            .all(|(index, route)| route.index == index)
    );
}

#[test]
fn a_redis_address_is_completed_with_the_login() {
    let text = |ledger: &str| with_base(&format!("[ledger]\nbackend = \"redis\"\n{ledger}\n"));
    for (ledger, url, shown) in [
        (
            "url = \"redis://${TOKEN_A}@${SHORT}:1/2\"",
            "redis://canary-aaaaaaaaaaaaaaaa@hunter2:1/2",
            "redis://***@${SHORT}:1/2",
        ),
        ("url = \"${URL}\"", "redis://:canary@h/1", "${URL}"),
        (
            "url = \"file:/run/secrets/url\"",
            "redis://u:canary@h",
            "file:/run/secrets/url",
        ),
        ("url = \"redis://h\"", "redis://h", "redis://h"),
        (
            "url = \"valkeys://[::1]:7/2\"",
            "rediss://[::1]:7/2",
            "rediss://[::1]:7/2",
        ),
        ("url = \"redis://u:p@h:1\"", "redis://u:p@h:1", "redis://***@h:1"),
        (
            "url = \"redis://h\"\npassword = \"a b/c\"",
            "redis://:a%20b%2Fc@h",
            "redis://***@h",
        ),
        (
            "url = \"redis://h\"\nusername = \"u\"\npassword = \"p\"",
            "redis://u:p@h",
            "redis://***@h",
        ),
        (
            "url = \"unix:///s?db=2\"\npassword = \"p&q\"",
            "redis+unix:///s?db=2&pass=p%26q",
            "redis+unix:///s?***",
        ),
    ] {
        let config = read(&text(ledger)).unwrap_or_else(|problems| panic!("{problems}"));
        let Store::Redis(redis) = &config.ledger.store else {
            panic!("not Redis")
        };
        assert_eq!(redis.urls[0].url.expose(), url);
        assert_eq!(redis.urls[0].to_string(), shown);
        let info = redis::IntoConnectionInfo::into_connection_info(url).unwrap();
        let password = info.redis_settings().password();
        let told = shown.contains("***") || shown.contains("URL") || shown.starts_with("file:");
        assert!(password.is_none() || told, "{url}");
        assert!(password.is_none_or(|password| !password.contains('%')), "{url}");
    }
}

#[test]
fn more_problems_than_anyone_reads_are_counted() {
    let text: String = (0..300).map(|n| format!("wrong_{n} = 1\n")).collect();
    let problems = read(&text).unwrap_err().in_file("/etc/faregate.toml");
    assert_eq!((problems.problems.len(), problems.more), (LISTED_MAX, 201));
    let said = problems.to_string();
    assert!(said.starts_with("/etc/faregate.toml:1: "), "{said}");
    assert!(said.ends_with("\nand 201 more"), "{said}");
}

#[test]
fn a_text_that_is_no_configuration_at_all_is_refused_in_bounded_time() {
    for text in [
        "[".repeat(100_000),
        "a = {".repeat(50_000),
        "a.".repeat(50_000),
        "\0".repeat(1_000),
        "#".repeat(5 << 20),
        (0..100_000).map(|n| format!("listen_{n} = 1\n")).collect(),
        (0..20_000).map(|n| format!("[plans.p{n}]\nx = 1\n")).collect(),
        (0..20_000)
            .map(|n| format!("[[routes]]\nmatch = \"GET /{n}\"\n"))
            .collect(),
    ] {
        let problems = read(&text).unwrap_err();
        assert!(problems.to_string().len() < 100_000);
    }
    assert!(read(&format!("\u{feff}{}", with_base(""))).is_ok());
    assert!(read(&with_base("").replace('\n', "\r\n")).is_ok());
}

#[test]
fn a_reload_says_what_changes_prices_first_and_what_takes_a_restart() {
    let old = with_base(
        "default_plan = \"p\"\n[server]\nworkers = 1\n[admin]\ntoken = \"${TOKEN_A}\"\n[plans.p]\n[plans.gone]\nconcurrent = 1\n",
    );
    let new = with_base(
        "[server]\nbody_max = \"1MiB\"\n[admin]\ntoken = \"${TOKEN_B}\"\n[ledger]\nhold_ttl = \"30s\"\n[plans.p]\nconcurrent = 5\n[plans.pro]\nspend_per_month = 10\n",
    );
    let new = new.replace("cost = 0", "cost = 0.15\nid = \"GET /m\"")
        + "[[routes]]\nmatch = \"GET /n\"\nupstream = \"m\"\ncost = 1\n";
    let (old, new) = (read(&old).unwrap(), read(&new).unwrap());
    let lines: Vec<String> = old.diff(&new).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "routes[GET /m].cost: free -> 0.150000 per request",
            "admin.tokens[admin]: another secret (after a restart)",
            "default_plan: gone: p",
            "ledger.hold_ttl: 60s -> 30s (after a restart)",
            "server.body_max: 10MiB -> 1MiB",
            "server.workers: 1 -> 0 (after a restart)",
            "plans.gone: gone: concurrent 1",
            "plans.p.concurrent: new: 5",
            "plans.pro: new: spend_per_month 10.000000",
            "routes[GET /m].body_max: 10MiB -> 1MiB",
            "routes[GET /n]: new: match GET /n, upstream m, cost 1.000000 per request",
        ]
    );
    let json = serde_json::to_value(&old.diff(&new)[0]).unwrap();
    assert_eq!(json["before"], "free");
    assert_eq!(json["restart"], false);
}

#[test]
fn a_model_that_is_new_is_told_by_its_rates() {
    let model = "[models.small]\ninput = 0.15\noutput = 0.6\noutput_tokens_max = 100\n";
    let [old, new] = ["", model].map(|text| read(&with_base(text)).unwrap());
    let lines: Vec<String> = old.diff(&new).iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["models.small: new: input 0.150000, output 0.600000"]);
}

#[test]
fn the_order_and_the_form_of_a_file_are_no_difference() {
    let a = read(&with_base("[server]\nidle_timeout = \"60s\"\n[log]\n")).unwrap();
    let b = read(&with_base(
        "[log]\nlevel = \"info\"\n\n\n[server]\nidle_timeout = \"1m\"\n",
    ))
    .unwrap();
    assert_eq!(a, b);
    assert_eq!(a.diff(&b), []);
}

#[test]
fn certificates_that_cannot_be_used_are_found_apart_from_parsing() {
    let (_, text) = folder("valid")
        .into_iter()
        .find(|(path, _)| path.ends_with("redis.toml"))
        .unwrap();
    let config = read(&text).unwrap();
    let pair = rcgen::generate_simple_self_signed(["gate".to_owned()]).unwrap();
    let (cert, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let good = |path: &Path| {
        Ok(if path.to_string_lossy().contains("key") {
            key.clone()
        } else {
            cert.clone()
        }
        .into_bytes())
    };
    assert_eq!(config.check_files(&good), Ok(()));
    let bad = |path: &Path| match path.to_str() {
        Some("fullchain.pem") => Err(std::io::ErrorKind::PermissionDenied.into()),
        Some("key.pem") => Ok(cert.clone().into_bytes()),
        Some("admin.pem") => Ok(b"hello".to_vec()),
        Some("admin-key.pem") => Ok(key.replace("MI", "\u{0}").into_bytes()),
        Some("redis-ca.pem") => Ok(cert.replace("-----END", "").into_bytes()),
        _ => good(path),
    };
    let problems = config.check_files(&bad).unwrap_err();
    let line = |wanted: &str| 1 + text.lines().position(|line| line.starts_with(wanted)).unwrap();
    let found: Vec<(usize, &str, bool)> = problems
        .problems
        .iter()
        .map(|p| (p.line, &p.key[..], p.what.starts_with("the file ")))
        .collect();
    let tls = line("tls = {");
    assert_eq!(
        found,
        [
            (tls, "server.tls.cert", true),
            (tls, "server.tls.key", true),
            (line("tls.cert"), "admin.tls.cert", true),
            (line("tls.key"), "admin.tls.key", true),
            (line("ca = \"redis"), "ledger.ca", true),
        ],
        "{problems}"
    );
}
