//! Imports point down (`docs/ARCHITECTURE.md`). Test code may import what it likes.

use super::Violation;
use super::source::{Token, paths, tokens, without_tests};

/// Each module of the crate and its layer; a new module gets its line here.
const LAYERS: [(&str, u8); 14] = [
    ("domain", 0),
    ("clock", 1),
    ("config", 1),
    ("telemetry", 1),
    ("http", 1),
    ("meter", 1),
    ("tokenizer", 1),
    ("ledger", 2),
    ("stripe", 2),
    ("service", 3),
    ("proxy", 4),
    ("api", 4),
    ("app", 5),
    ("cli", 6),
];

/// The stores; only `app` chooses one.
const ADAPTERS: [&str; 2] = ["redis", "embedded"];

fn layer(module: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

/// Every import of `text`, a file of `src/`, that points up or sideways.
pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let inside = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    let steps: Vec<&str> = inside.split('/').collect();
    let module = steps[0];
    let in_tests = steps[1..].contains(&"tests");
    if module == "lib" || module == "main" || in_tests {
        return Vec::new();
    }
    let violation = |line, message| Violation {
        path: path.to_owned(),
        line,
        message,
    };
    let Some(own) = layer(module) else {
        let message = format!("module `{module}` has no layer: give it one in tests/it/tidy/layers.rs");
        return vec![violation(1, message)];
    };
    let tokens = without_tests(&tokens(text));
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let followed = tokens.get(at + 1).is_some_and(|next| next.is("::"));
        let begins = at == 0 || !tokens[at - 1].is("::");
        match token.text.as_str() {
            "crate" if followed => {
                for (path, line) in paths(&tokens, at) {
                    found.extend(wrong_import(module, own, &path[1..]).map(|m| violation(line, m)));
                }
            }
            "ledger" if followed && own >= 3 && module != "app" => {
                for (path, line) in paths(&tokens, at) {
                    found.extend(wrong_adapter(module, &path).map(|m| violation(line, m)));
                }
            }
            "hyper" | "hyper_util" if module == "service" && begins => {
                let message = "service knows nothing of HTTP: no hyper here; take and return domain values";
                found.push(violation(token.line, message.to_owned()));
            }
            "super" if begins && reaches_root(&tokens, at, steps.len()) => {
                let message =
                    "`super` up to the crate's root hides which module is meant: write `crate::...`";
                found.push(violation(token.line, message.to_owned()));
            }
            _ => {}
        }
    }
    found
}

fn wrong_import(module: &str, own: u8, path: &[String]) -> Option<String> {
    let target = path.first()?;
    // Within layer 1, everything may log, and the configuration knows what a route's pattern is, and which APIs are metered.
    let beside = (target == "telemetry" && own >= 1)
        || (module == "config" && ["http", "meter"].contains(&target.as_str()));
    if target == module || target == "self" || beside {
        return None;
    }
    let Some(theirs) = layer(target) else {
        return Some(format!(
            "`crate::{target}` has no layer: give the module one in tests/it/tidy/layers.rs, and name items by \
             the module that has them"
        ));
    };
    let direction = match theirs.cmp(&own) {
        std::cmp::Ordering::Less => return None,
        std::cmp::Ordering::Equal => "sideways",
        std::cmp::Ordering::Greater => "up",
    };
    Some(format!(
        "`crate::{}` points {direction}: {module} is layer {own}, {target} is layer {theirs}. Move what both \
         need below layer {own}, or pass it in from `app`",
        path.join("::")
    ))
}

fn wrong_adapter(module: &str, path: &[String]) -> Option<String> {
    let adapter = path.get(1).filter(|name| ADAPTERS.contains(&name.as_str()))?;
    Some(format!(
        "{module} names the store `ledger::{adapter}`: only `app` chooses one; use the `Ledger` trait"
    ))
}

/// Whether the run of `super` at `at` leaves the file's top module. `depth` is 1 for `src/a.rs`.
fn reaches_root(tokens: &[Token], at: usize, depth: usize) -> bool {
    let run = tokens[at..]
        .chunks(2)
        .take_while(|pair| pair[0].is("super") && pair.get(1).is_some_and(|colons| colons.is("::")));
    run.count() >= depth + inline_modules(&tokens[..at])
}

/// How many `mod x {` are open at the end of these tokens.
fn inline_modules(tokens: &[Token]) -> usize {
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => open.push(at >= 2 && tokens[at - 2].is("mod")),
            "}" => drop(open.pop()),
            _ => {}
        }
    }
    open.into_iter().filter(|is_module| *is_module).count()
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::lines_and_messages;

    fn one(path: &str, text: &str) -> String {
        let found = check(path, text);
        let [(line, message)] = lines_and_messages(&found)[..] else {
            panic!("{found:?} in {text}")
        };
        format!("{line}: {message}")
    }

    #[test]
    fn down_and_within_is_fine() {
        for (path, text) in [
            (
                "src/domain/a.rs",
                "use std::fmt; use crate::domain::b; use super::b;",
            ),
            (
                "src/ledger.rs",
                "use crate::{config::Config, domain::{self, Credits}, telemetry::Metrics};",
            ),
            (
                "src/config/check.rs",
                "fn f() { crate::telemetry::log() } // crate::app::x",
            ),
            ("src/config/route.rs", "use crate::http::pattern::Pattern;"),
            (
                "src/service/charges.rs",
                "use crate::ledger::{Ledger, LedgerError}; const X: &str = \"hyper::\";",
            ),
            (
                "src/app/bootstrap.rs",
                "use crate::ledger::{embedded, redis::RedisLedger}; use crate::proxy;",
            ),
            (
                "src/proxy/a/b.rs",
                "use super::super::stage; mod x { use super::super::super::y; }",
            ),
            (
                "src/service.rs",
                "pub(crate) mod a; #[cfg(test)] mod tests { use crate::ledger::embedded; }",
            ),
            ("src/service/a/tests.rs", "use crate::ledger::embedded;"),
            ("src/lib.rs", "pub mod anything;"),
        ] {
            assert_eq!(check(path, text), [], "{path}: {text}");
        }
    }

    #[test]
    fn up_is_found_with_its_line() {
        assert_eq!(
            one(
                "src/ledger/x.rs",
                "use crate::domain::Credits;\nuse crate::{\n  config::C,\n  service::Charges};"
            ),
            "4: `crate::service::Charges` points up: ledger is layer 2, service is layer 3. Move what both need \
             below layer 2, or pass it in from `app`"
        );
        assert!(one("src/domain.rs", "fn f() { crate::telemetry::log() }").contains("points up"));
    }

    #[test]
    fn sideways_is_found() {
        assert!(one("src/proxy/x.rs", "use crate::api::dto;").contains("points sideways: proxy is layer 4"));
        assert!(one("src/telemetry.rs", "use crate::config::C;").contains("points sideways"));
        assert!(one("src/stripe/x.rs", "use crate::ledger::Ledger;").contains("points sideways"));
        assert!(one("src/ledger/x.rs", "use crate::stripe::form::Form;").contains("points sideways"));
        assert!(one("src/http/x.rs", "use crate::config::C;").contains("points sideways"));
    }

    #[test]
    fn adapters_are_for_app_alone() {
        for text in [
            "use crate::ledger::redis::X;",
            "use crate::ledger::{self, redis}; ",
            "fn f(x: ledger::embedded::E) {}",
        ] {
            for path in ["src/service/x.rs", "src/proxy/x.rs", "src/cli/x.rs"] {
                assert!(
                    one(path, text).contains("only `app` chooses one"),
                    "{path}: {text}"
                );
            }
        }
    }

    #[test]
    fn service_knows_no_hyper() {
        assert!(
            one("src/service/x.rs", "use hyper::Request;").starts_with("1: service knows nothing of HTTP")
        );
        assert!(one("src/service/x.rs", "fn f(x: hyper_util::X) {}").contains("no hyper here"));
    }

    #[test]
    fn unknown_modules_and_roundabout_ways_are_found() {
        assert!(one("src/misc.rs", "").contains("module `misc` has no layer"));
        assert!(one("src/app.rs", "use crate::misc::X;").contains("`crate::misc` has no layer"));
        assert!(one("src/proxy/x.rs", "\nuse super::super::api;").starts_with("2: `super` up to"));
        assert!(one("src/ledger.rs", "use super::service;").contains("write `crate::...`"));
    }
}
