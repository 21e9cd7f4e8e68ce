use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::http::target::normalise;
use crate::http::target::tests::{decode, tricky_path};

fn pattern(text: &str) -> Pattern {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn matcher(patterns: &[&'static str]) -> Matcher<&'static str> {
    Matcher::new(patterns.iter().map(|text| (pattern(text), *text))).unwrap()
}

fn found(matcher: &Matcher<&'static str>, method: &str, path: &str) -> Option<&'static str> {
    match matcher.find(method, path) {
        Lookup::Found(_, text) => Some(text),
        _ => None,
    }
}

#[test]
fn parse_errors_say_what_and_where() {
    for (text, want) in [
        (
            "/v1/x",
            "`/v1/x` is not a method and a path; write it like `POST /v1/chat/completions` or `* /v1/*`",
        ),
        (
            "POST",
            "`POST` is not a method and a path; write it like `POST /v1/chat/completions` or `* /v1/*`",
        ),
        (
            "POST v1",
            "`POST v1` is not a method and a path; write it like `POST /v1/chat/completions` or `* /v1/*`",
        ),
        (
            "post /v1",
            "`post` is not a method; write it in upper case, or `*` for every method",
        ),
        ("CONNECT /v1", "CONNECT is never let through"),
        (
            "GET /v1//x",
            "path `/v1//x`: the path has an empty segment (`//`)",
        ),
        (
            "GET /v1/../x",
            "path `/v1/../x`: the path has a `.` or `..` segment",
        ),
        (
            "GET /v1/x?y",
            "path `/v1/x?y`: the path has a character that must be escaped",
        ),
        (
            "GET /v1/%2a",
            "path `/v1/%2a`: the path has a character that must be escaped",
        ),
        (
            "GET /v1/x*/y",
            "segment 2 of path `/v1/x*/y` is `x*`; a `*` stands for a whole segment",
        ),
        (
            "GET /v1/**",
            "segment 2 of path `/v1/**` is `**`; a `*` stands for a whole segment",
        ),
        (
            "GET /v1/{id}/y",
            "segment 2 of path `/v1/{id}/y` is `{id}`; write `*` for any segment",
        ),
    ] {
        assert_eq!(text.parse::<Pattern>().unwrap_err().to_string(), want);
    }
}

#[test]
fn patterns_print_as_they_are_written_in_normal_form() {
    assert_eq!(pattern("POST  /v1/%63hat").to_string(), "POST /v1/chat");
    assert_eq!(pattern("* /v1/*/x/*").to_string(), "* /v1/*/x/*");
    assert!(pattern("GET /v1/%63").conflicts(&pattern("GET /v1/c")));
}

#[test]
fn what_a_pattern_matches() {
    for (text, path, want) in [
        ("GET /", "/", true),
        ("GET /", "/v1", false),
        ("GET /v1", "/v1", true),
        ("GET /v1", "/v1/", false),
        ("GET /v1", "/V1", false),
        ("GET /v1", "/v1.", false),
        ("GET /v1/", "/v1/", true),
        ("GET /*", "/", false),
        ("GET /*", "/v1", true),
        ("GET /v1/*", "/v1", false),
        ("GET /v1/*", "/v1/", false),
        ("GET /v1/*", "/v1/a", true),
        ("GET /v1/*", "/v1/a/b/", true),
        ("GET /v1/*/x", "/v1/a/x", true),
        ("GET /v1/*/x", "/v1/a/b/x", false),
        ("GET /v1/*/x", "/v1/a/x/", false),
        ("GET /v1/*/*", "/v1/a", false),
        ("GET /v1/*/*", "/v1/a/", false),
        ("GET /v1/*/*", "/v1/a/b/c", true),
    ] {
        assert_eq!(pattern(text).matches("GET", path), want, "{text} on {path}");
        assert!(!pattern(text).matches("POST", path));
        assert!(!pattern(text).matches("HEAD", path), "P14: HEAD is not GET");
    }
    assert!(pattern("* /v1").matches("HEAD", "/v1"));
}

#[test]
fn the_most_specific_pattern_wins_whatever_the_order() {
    let mut patterns = [
        "* /*",
        "GET /v1/*",
        "GET /v1/*/x",
        "GET /v1/a/*",
        "* /v1/a/x",
        "GET /v1/a/x",
        "POST /v1/a/x",
    ];
    for _ in 0..patterns.len() {
        patterns.rotate_left(1);
        let matcher = matcher(&patterns);
        assert_eq!(found(&matcher, "GET", "/v1/a/x"), Some("GET /v1/a/x"));
        assert_eq!(found(&matcher, "PUT", "/v1/a/x"), Some("* /v1/a/x"));
        assert_eq!(found(&matcher, "GET", "/v1/a/y"), Some("GET /v1/a/*"));
        assert_eq!(found(&matcher, "GET", "/v1/b/x"), Some("GET /v1/*/x"));
        assert_eq!(found(&matcher, "GET", "/v1/b/y"), Some("GET /v1/*"));
        assert_eq!(found(&matcher, "POST", "/v1/b/y"), Some("* /*"));
        assert_eq!(matcher.find("GET", "/"), Lookup::Unknown);
    }
}

#[test]
fn p14_the_method_is_part_of_the_route() {
    let matcher = matcher(&[
        "GET /v1/models/*",
        "POST /v1/chat",
        "DELETE /v1/models/*",
        "GET /v1/chat",
    ]);
    assert_eq!(
        matcher.find("HEAD", "/v1/chat"),
        Lookup::OtherMethods(vec!["GET", "POST"])
    );
    assert_eq!(
        matcher.find("OPTIONS", "/v1/models/a"),
        Lookup::OtherMethods(vec!["DELETE", "GET"])
    );
    assert_eq!(matcher.find("GET", "/v1/other"), Lookup::Unknown);
}

#[test]
fn equal_patterns_are_a_conflict_with_their_places() {
    let list = ["GET /a", "GET /b/*", "* /a", "GET /%62/*"];
    let conflict = Matcher::new(list.iter().map(|text| (pattern(text), ()))).unwrap_err();
    assert_eq!((conflict.first, conflict.second), (1, 3));
    assert_eq!(conflict.to_string(), "`GET /b/*` is there twice");
}

#[test]
fn p1_a_path_that_looser_servers_take_for_a_dearer_one_does_not_fall_to_the_wildcard() {
    let matcher = matcher(&[
        "POST /v1/custom/*",
        "POST /v1/custom/dear",
        "POST /v1/custom/*/Run",
        "GET /v1/custom/dear",
    ]);
    for path in [
        "/v1/custom/Dear",
        "/v1/custom/dear/",
        "/v1/custom/dear.",
        "/v1/custom/dear%20",
        "/v1/custom/DEAR./",
    ] {
        let dearer = pattern("POST /v1/custom/dear");
        assert_eq!(matcher.find("POST", path), Lookup::Lookalike(&dearer), "{path}");
    }
    for path in ["/v1/custom/a/run", "/v1/custom/a/run/", "/v1/custom/a/RUN"] {
        let dearer = pattern("POST /v1/custom/*/Run");
        assert_eq!(matcher.find("POST", path), Lookup::Lookalike(&dearer), "{path}");
    }
    for path in ["/v1/custom/Other", "/v1/custom/dear/x/", "/v1/custom/other."] {
        assert_eq!(found(&matcher, "POST", path), Some("POST /v1/custom/*"), "{path}");
    }
    assert_eq!(matcher.find("POST", "/V1/custom/dear"), Lookup::Unknown);
}

#[test]
fn an_empty_matcher_knows_nothing() {
    let matcher = matcher(&[]);
    assert_eq!(matcher.find("GET", "/"), Lookup::Unknown);
    assert_eq!(matcher.iter().count(), 0);
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let segment = prop::sample::select(vec!["a", "b", "A", "a.", "*", "*"]);
    (
        prop::sample::select(vec!["GET", "POST", "*"]),
        prop::collection::vec(segment, 1..4),
    )
        .prop_map(|(method, segments)| pattern(&format!("{method} /{}", segments.join("/"))))
}

fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "A", "a.", "c"]), 1..5)
        .prop_map(|segments| format!("/{}", segments.join("/")))
}

proptest! {
    #[test]
    fn specificity_is_a_total_order_that_agrees_with_equality(
        a in any_pattern(), b in any_pattern(), c in any_pattern()
    ) {
        prop_assert_eq!(a.specificity(&b), b.specificity(&a).reverse());
        prop_assert_eq!(a.specificity(&b) == Ordering::Equal, a == b);
        if a.specificity(&b).is_le() && b.specificity(&c).is_le() {
            prop_assert!(a.specificity(&c).is_le());
        }
    }

    #[test]
    fn the_matcher_agrees_with_trying_every_pattern(
        patterns in prop::collection::vec(any_pattern(), 0..8),
        method in prop::sample::select(vec!["GET", "POST", "PUT"]),
        path in any_path(),
    ) {
        let mut unique = patterns;
        unique.sort_by(Pattern::specificity);
        unique.dedup();
        let best = unique.iter().find(|pattern| pattern.matches(method, &path)).cloned();
        unique.reverse();
        let matcher = Matcher::new(unique.iter().map(|pattern| (pattern.clone(), pattern.clone()))).unwrap();
        match matcher.find(method, &path) {
            Lookup::Found(_, found) => prop_assert_eq!(Some(found), best.as_ref()),
            Lookup::Lookalike(dearer) => {
                prop_assert!(dearer.specificity(&best.unwrap()).is_lt());
            }
            Lookup::OtherMethods(methods) => {
                prop_assert!(best.is_none());
                for other in methods {
                    prop_assert!(unique.iter().any(|pattern| pattern.matches(other, &path)));
                }
            }
            Lookup::Unknown => {
                let known = unique.iter().any(|pattern| pattern.matches(pattern.method().unwrap_or(method), &path));
                prop_assert!(!known);
            }
        }
    }
}

/// How other servers read a path before they route it, in few words each. The order of steps is what matters.
mod readings {
    use super::decode;

    /// nginx: decode, join slashes, resolve dots.
    pub(super) fn nginx(path: &str) -> String {
        resolve(&decode(path))
    }

    /// Go's ServeMux: the decoded path, cleaned, a slash at the end kept.
    pub(super) fn go(path: &str) -> String {
        let decoded = decode(path);
        let clean = resolve(&decoded);
        if decoded.ends_with('/') && !clean.ends_with('/') {
            clean + "/"
        } else {
            clean
        }
    }

    /// Python (WSGI, ASGI): decoded, not cleaned; what follows `?` or `;` after decoding is not the path.
    pub(super) fn python(path: &str) -> String {
        let decoded = decode(path);
        decoded
            .split(['?', ';', '#'])
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    /// A chain of two servers that both decode.
    pub(super) fn twice(path: &str) -> String {
        resolve(&decode(&decode(path)))
    }

    /// Windows: backslashes are slashes, NUL ends the path.
    pub(super) fn windows(path: &str) -> String {
        let decoded = decode(path).replace('\\', "/");
        resolve(decoded.split('\0').next().unwrap_or_default())
    }

    /// Express, ASP.NET: any case, the end does not count.
    pub(super) fn loose(path: &str) -> String {
        decode(path)
            .trim_end_matches(['/', '.', ' '])
            .to_ascii_lowercase()
    }

    fn resolve(path: &str) -> String {
        let mut kept: Vec<&str> = Vec::new();
        for segment in path
            .split('/')
            .filter(|segment| !segment.is_empty() && *segment != ".")
        {
            if segment == ".." {
                kept.pop();
            } else {
                kept.push(segment);
            }
        }
        let end = if path.ends_with('/') && !kept.is_empty() {
            "/"
        } else {
            ""
        };
        format!("/{}{end}", kept.join("/"))
    }
}

/// Cheap wildcards beside dear exact routes: the temptation.
const PRICED: [&str; 6] = [
    "POST /v1/*",
    "POST /v1/chat",
    "POST /v1/x:generate",
    "POST /v1/*/images",
    "POST /v1/a b/c",
    "POST /v1/models/*",
];

fn priced() -> Matcher<&'static str> {
    // A literal space has to be written as it travels.
    let patterns = PRICED.map(|text| (pattern(&text.replace("a b", "a%20b")), text));
    Matcher::new(patterns).unwrap()
}

/// The route that a server with this reading would take: its routes are written as decoded text.
fn served(
    routes: &Matcher<&'static str>,
    read: String,
    fold: impl Fn(&str) -> String,
) -> Option<&'static str> {
    let mut all: Vec<_> = routes.iter().collect();
    all.sort_by(|(a, _), (b, _)| a.specificity(b));
    all.into_iter()
        .find(|(route, _)| {
            let decoded = fold(&decode(route.path()));
            covers(segments(&decoded), &read, |a, b| a == b)
        })
        .map(|(_, text)| *text)
}

fn near_miss() -> impl Strategy<Value = String> {
    let dear = prop::sample::select(vec![
        "/v1/chat",
        "/v1/x:generate",
        "/v1/a/images",
        "/v1/a b/c",
        "/v1/models/m",
    ]);
    let spell = |(text, choices): (&str, Vec<u8>)| {
        text.bytes()
            .zip(choices.into_iter().cycle())
            .map(|(byte, choice)| match choice {
                0 => format!("%{byte:02x}"),
                1 => format!("%{byte:02X}"),
                2 => format!("%25{byte:02x}"),
                3 => char::from(byte).to_ascii_uppercase().to_string(),
                4 if byte == b'/' => "//".to_owned(),
                5 if byte == b'/' => "/./".to_owned(),
                6 if byte == b'/' => "/x/../".to_owned(),
                7 if byte == b'/' => "\\".to_owned(),
                8 if byte == b'/' => "%5c".to_owned(),
                9 if byte == b'/' => "%2f".to_owned(),
                _ => char::from(byte).to_string().replace(' ', "%20"),
            })
            .collect::<String>()
    };
    let end = prop::sample::select(vec![
        "", "", "/", ".", "%20", ";a", "%00", "%3fq", "%2f", "?q", "/.", "/x/..",
    ]);
    ((dear, prop::collection::vec(0_u8..60, 20)).prop_map(spell), end).prop_map(|(path, end)| path + end)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn p1_no_other_reading_lands_on_another_route(path in prop_oneof![near_miss(), tricky_path()]) {
        let routes = priced();
        if let Ok(normal) = normalise(&path)
            && let Lookup::Found(_, ours) = routes.find("POST", &normal)
        {
            let same = |text: &str| text.to_owned();
            for (name, read) in [
                ("nginx", readings::nginx(&normal)),
                ("go", readings::go(&normal)),
                ("python", readings::python(&normal)),
                ("twice", readings::twice(&normal)),
                ("windows", readings::windows(&normal)),
            ] {
                prop_assert_eq!(served(&routes, read.clone(), same), Some(*ours), "{} reads {}", name, read);
            }
            let loose = readings::loose(&normal);
            let theirs = served(&routes, loose.clone(), |text| text.to_ascii_lowercase());
            // A loose server may find less than a wildcard here, never something dearer.
            let rank = |text: &str| PRICED.iter().map(|t| pattern(&t.replace("a b", "a%20b")))
                .filter(|p| p.specificity(&pattern(&text.replace("a b", "a%20b"))).is_lt()).count();
            prop_assert!(theirs.is_none_or(|theirs| rank(theirs) >= rank(ours)), "{} served as {:?}", loose, theirs);
        }
    }
}
