//! The configurations under `tests/data/config`, each with what is said of it; the shipped file; and laws.

mod laws;
mod shipped;
mod stripe;

use std::path::{Path, PathBuf};

use super::*;
use crate::domain::price::Price;

/// The variables that the files under `tests/data/config` refer to.
fn env(name: &str) -> Option<String> {
    let value = match name {
        "EMPTY" => "",
        "URL" => "redis://:canary@h/1",
        "SHORT" => "hunter2",
        "TOKEN_A" => "canary-aaaaaaaaaaaaaaaa",
        "TOKEN_B" => "canary-bbbbbbbbbbbbbbbb",
        "UPSTREAM_KEY" => "canary-upstream",
        "BLANK" => " \t",
        "STRIPE_WEBHOOK_SECRET" => "whsec_canary",
        "STRIPE_API_KEY" => "rk_test_canary",
        "STRIPE_LIVE_KEY" => "rk_live_canary",
        "REDIS_PASSWORD" => "canary/pass@word:#1",
        _ => return None,
    };
    Some(value.to_owned())
}

fn secret_files(path: &Path) -> std::io::Result<Vec<u8>> {
    match path.to_str() {
        Some("/run/secrets/billing") => Ok(b"canary-billing-token\n".to_vec()),
        Some("/run/secrets/url") => Ok(b"redis://u:canary@h\n".to_vec()),
        Some("/run/secrets/empty") => Ok(b"\n".to_vec()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    }
}

fn read(text: &str) -> Result<Config, Problems> {
    parse(text, &env, &secret_files)
}

/// One upstream and one route, behind `text`.
fn with_base(text: &str) -> String {
    format!(
        "{text}\n[upstreams.m]\nurl = \"http://m\"\n[[routes]]\nmatch = \"GET /m\"\nupstream = \"m\"\ncost = 0\n"
    )
}

/// The configurations in a folder of `tests/data/config`, by name.
fn folder(name: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/config")
        .join(name);
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

/// Compares with the `.txt` beside; with `FAREGATE_BLESS` set, writes it.
fn compare(path: &Path, said: &str) -> Option<String> {
    let beside = path.with_extension("txt");
    if std::env::var_os("FAREGATE_BLESS").is_some() {
        std::fs::write(&beside, said).unwrap();
    }
    let expected = std::fs::read_to_string(&beside).unwrap_or_default();
    (expected != said).then(|| format!("{}:\n{said}", path.display()))
}

#[test]
fn each_mistake_is_told_with_its_place_and_what_to_do() {
    let files = folder("invalid");
    assert!(files.len() > 100, "the files are missing");
    let mut wrong = Vec::new();
    for (path, text) in files {
        let problems = read(&text).expect_err(path.to_str().unwrap());
        for problem in &problems.problems {
            assert!(
                problem.line >= 1 && problem.line <= text.lines().count(),
                "{}: {problem}",
                path.display()
            );
            assert!(
                !problem.what.is_empty() && !problem.advice.is_empty(),
                "{}",
                path.display()
            );
        }
        wrong.extend(compare(&path, &format!("{problems}\n")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn p19_what_is_good_is_summed_up_with_its_free_routes() {
    let files = folder("valid");
    assert!(files.len() > 3, "the files are missing");
    let mut wrong = Vec::new();
    for (path, text) in files {
        let config = read(&text).unwrap_or_else(|problems| panic!("{}: {problems}", path.display()));
        let summary = config.summary();
        let free = config
            .routes
            .iter()
            .filter(|route| route.price == Price::Free)
            .count();
        assert_eq!(summary.free.len(), free);
        wrong.extend(compare(&path, &summary.to_string()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn s2_no_secret_is_shown_in_any_form() {
    let mut seen = 0;
    for (path, text) in folder("valid") {
        let config = read(&text).unwrap();
        let json = serde_json::to_string(&config.summary()).unwrap();
        let other = read(&with_base("")).unwrap();
        let shown = format!("{config:?} {} {json} {:?}", config.summary(), other.diff(&config));
        for canary in ["canary", "hunter2", "s%40cret", "s@cret"] {
            assert!(!shown.contains(canary), "{}: {canary}", path.display());
        }
        seen += usize::from(shown.contains("***"));
    }
    assert!(seen > 2);
}
