//! The fuzz targets' functions on their corpora, and on mutants of them: so that targets cannot rot, and what was found once stays found.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A target's name, the path of its function, the function.
type Target = (&'static str, &'static str, fn(&[u8]));

/// All targets; `fuzz/fuzz_targets/NAME.rs` calls the same function.
const TARGETS: [Target; 9] = [
    (
        "ask",
        "faregate::meter::fuzzing::ask",
        faregate::meter::fuzzing::ask,
    ),
    (
        "config",
        "faregate::config::fuzzing::config",
        faregate::config::fuzzing::config,
    ),
    (
        "credits",
        "faregate::domain::fuzzing::credits",
        faregate::domain::fuzzing::credits,
    ),
    (
        "framing",
        "faregate::http::fuzzing::framing",
        faregate::http::fuzzing::framing,
    ),
    (
        "json",
        "faregate::meter::fuzzing::json",
        faregate::meter::fuzzing::json,
    ),
    (
        "sse",
        "faregate::meter::answer::fuzzing::sse",
        faregate::meter::answer::fuzzing::sse,
    ),
    (
        "target",
        "faregate::http::fuzzing::target",
        faregate::http::fuzzing::target,
    ),
    (
        "units",
        "faregate::proxy::fuzzing::units_in_body",
        faregate::proxy::fuzzing::units_in_body,
    ),
    (
        "usage",
        "faregate::meter::answer::fuzzing::usage",
        faregate::meter::answer::fuzzing::usage,
    ),
];

/// Mutants of each file of a corpus.
const MUTANTS: u64 = 300;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Name and bytes of each file of a corpus, by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap())
        })
        .collect();
    files.sort();
    assert!(
        files.len() >= 5,
        "{}: only {} files",
        folder.display(),
        files.len()
    );
    files
}

/// Runs a target; on a panic, says which input it was.
fn run(what: &str, function: fn(&[u8]), bytes: &[u8]) {
    let outcome = std::panic::catch_unwind(|| function(bytes));
    assert!(outcome.is_ok(), "{what} breaks a law: {}", bytes.escape_ascii());
}

#[test]
fn every_target_is_one_line_over_its_function_and_is_replayed_here() {
    let sources: BTreeSet<String> = std::fs::read_dir(fuzz().join("fuzz_targets"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    let expected = TARGETS.iter().map(|(name, ..)| format!("{name}.rs")).collect();
    assert_eq!(sources, expected, "fuzz/fuzz_targets and TARGETS differ");
    let manifest = std::fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, path, _) in TARGETS {
        let source = std::fs::read_to_string(fuzz().join(format!("fuzz_targets/{name}.rs"))).unwrap();
        let line = format!("libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {path}(bytes));");
        assert!(
            source.lines().any(|l| l == line),
            "fuzz_targets/{name}.rs: no line\n{line}"
        );
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "fuzz/Cargo.toml has no {name}"
        );
    }
}

#[test]
fn the_corpora_break_no_law() {
    for (target, _, function) in TARGETS {
        for (name, bytes) in corpus(target) {
            run(&format!("{target}/{name}"), function, &bytes);
        }
    }
}

#[test]
fn mutants_of_the_corpora_break_no_law() {
    for (target, _, function) in TARGETS {
        let files = corpus(target);
        for (at, (name, bytes)) in files.iter().enumerate() {
            for seed in 1..=MUTANTS {
                let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at as u64);
                let mutant = mutate(bytes, &files, &mut chance);
                run(&format!("{target}/{name}, mutant {seed}"), function, &mutant);
            }
        }
    }
}

/// Xorshift: the same for the same seed, on every machine.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

/// Bytes that mean something to one of the parsers.
const MEANINGFUL: &[u8] = b"\0\t\n\r \"#$%&'*+,-./0159:;=?@AZ[\\]_afz{|}~\x7f\x80\xc0\xff";

fn mutate(bytes: &[u8], others: &[(String, Vec<u8>)], chance: &mut Chance) -> Vec<u8> {
    let mut mutant = bytes.to_vec();
    for _ in 0..=chance.below(4) {
        let at = chance.below(mutant.len() + 1);
        let to = at + chance.below((mutant.len() - at).min(24) + 1);
        match chance.below(5) {
            0 => mutant.insert(at, MEANINGFUL[chance.below(MEANINGFUL.len())]),
            1 => drop(mutant.drain(at..to)),
            2 if at < mutant.len() => mutant[at] ^= 1 << chance.below(8),
            3 => {
                let part = mutant[at..to].to_vec();
                mutant.splice(at..at, part);
            }
            _ => {
                let (_, other) = &others[chance.below(others.len())];
                let from = chance.below(other.len() + 1);
                let until = from + chance.below((other.len() - from).min(40) + 1);
                mutant.splice(at..to, other[from..until].iter().copied());
            }
        }
    }
    mutant
}
