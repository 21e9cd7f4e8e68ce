use proptest::prelude::*;

use super::*;

fn read(uri: &str) -> Result<String, TargetError> {
    let uri: Uri = uri.parse().unwrap();
    Target::read(&Method::POST, &uri).map(|target| target.into_path_and_query().to_string())
}

#[test]
fn p1_every_trick_has_its_own_refusal() {
    use TargetError as E;
    let cases = [
        ("", E::NotAbsolute),
        ("v1/x", E::NotAbsolute),
        ("//v1/x", E::EmptySegment),
        ("/v1//x", E::EmptySegment),
        ("/v1/x//", E::EmptySegment),
        ("/./v1/x", E::DotSegment),
        ("/v1/../x", E::DotSegment),
        ("/v1/x/..", E::DotSegment),
        ("/v1/x/.", E::DotSegment),
        ("/v1/%2e%2E/x", E::DotSegment),
        ("/v1/.%2e/x", E::DotSegment),
        ("/v1/%2e", E::DotSegment),
        ("/v1%2fx", E::EncodedSlash),
        ("/v1%2Fx", E::EncodedSlash),
        ("/v1%5cx", E::EncodedBackslash),
        ("/v1%5Cx", E::EncodedBackslash),
        ("/v1/x%00", E::EncodedNul),
        ("/v1/x%00.txt", E::EncodedNul),
        ("/v1/%252e%252e/x", E::EncodedPercent),
        ("/v1%252fx", E::EncodedPercent),
        ("/v1/x%0d%0aHost:a", E::EncodedControl),
        ("/v1/x%7f", E::EncodedControl),
        ("/v1/x%3bp=1", E::EncodedDelimiter),
        ("/v1/x%3Fq", E::EncodedDelimiter),
        ("/v1/x%23", E::EncodedDelimiter),
        ("/v1/%c0%ae%c0%ae/x", E::EncodedNonAscii),
        ("/v1%c0%afx", E::EncodedNonAscii),
        ("/v1%ef%bc%8fx", E::EncodedNonAscii),
        ("/v1/%u002e/x", E::MalformedEscape),
        ("/v1/x%", E::MalformedEscape),
        ("/v1/x%4", E::MalformedEscape),
        ("/v1/x%zz", E::MalformedEscape),
        ("/v1/x%+1", E::MalformedEscape),
        ("/v1/%é0", E::MalformedEscape),
        ("/v1\\x", E::Backslash),
        ("/v1/..\\x", E::Backslash),
        ("/v1/é", E::NonAscii),
        ("/v1/x\u{ff0f}y", E::NonAscii),
        ("/v1/x\t", E::Control),
        ("/v1/x\0", E::Control),
        ("/v1/x\x7f", E::Control),
        ("/v1/x;p=1", E::Parameter),
        ("/v1/..;/x", E::Parameter),
        ("/v1/x y", E::NotAllowed),
        ("/v1/x#y", E::NotAllowed),
        ("/v1/{x}", E::NotAllowed),
        ("/v1/\"x\"", E::NotAllowed),
    ];
    for (path, want) in cases {
        assert_eq!(normalise(path), Err(want), "{path:?}");
        assert_eq!(want.status(), StatusCode::BAD_REQUEST);
        assert!(!want.to_string().is_empty());
    }
}

#[test]
fn p1_a_normal_path_is_not_copied() {
    for path in [
        "/",
        "/v1/chat/completions",
        "/v1/models/ft:gpt-4o:acme::7p4l",
        "/v1/models/a@b,c=d&e+f!(g)'$*",
        "/.well-known/x",
        "/v1/...",
        "/v1/a%20b",
        "/v1/x/",
        "/v1/x.",
    ] {
        assert!(
            matches!(normalise(path), Ok(Cow::Borrowed(same)) if same == path),
            "{path}"
        );
    }
}

#[test]
fn p1_escapes_are_decoded_once_and_the_rest_is_upper_case() {
    for (sent, normal) in [
        ("/v1/%63hat", "/v1/chat"),
        ("/v1/%7Euser", "/v1/~user"),
        ("/v1/x%3agenerate", "/v1/x:generate"),
        ("/v1/x%3Agenerate", "/v1/x:generate"),
        ("/v1/a%2Bb%2ac", "/v1/a+b*c"),
        ("/v1/a%5bb%5D%7c", "/v1/a%5Bb%5D%7C"),
        ("/v1/x%2e", "/v1/x."),
        ("/v1/%2e%2e%2e", "/v1/..."),
    ] {
        assert_eq!(normalise(sent).unwrap(), normal);
    }
}

#[test]
fn p1_the_end_of_a_path_stays_as_it_is() {
    assert_eq!(read("/v1/x/").unwrap(), "/v1/x/");
    assert_eq!(read("/v1/x.").unwrap(), "/v1/x.");
    assert_eq!(read("/V1/X").unwrap(), "/V1/X");
}

#[test]
fn p1_the_query_passes_byte_for_byte() {
    assert_eq!(
        read("/v1/%78?a=%2f%2E&a=//../;b&c=%25").unwrap(),
        "/v1/x?a=%2f%2E&a=//../;b&c=%25"
    );
    assert_eq!(read("/v1/x?").unwrap(), "/v1/x?");
    assert_eq!(read("/v1/x?a=%"), Err(TargetError::QueryMalformedEscape));
    assert_eq!(read("/v1/x?a=%2"), Err(TargetError::QueryMalformedEscape));
    assert_eq!(read("/v1/x?a=é"), Err(TargetError::QueryNotAllowed));
    assert_eq!(check_query(b"a b"), Err(TargetError::QueryNotAllowed));
    assert_eq!(check_query(b"a#b"), Err(TargetError::QueryNotAllowed));
}

#[test]
fn h4_forms_of_a_target() {
    assert_eq!(read("http://example.com/v1/%78?q").unwrap(), "/v1/x?q");
    assert_eq!(read("https://example.com").unwrap(), "/");
    let uri: Uri = "http://example.com?a=b".parse().unwrap();
    let target = Target::read(&Method::GET, &uri).unwrap();
    assert_eq!((target.path(), target.query()), ("/", Some("a=b")));
    assert_eq!(target.into_path_and_query().as_str(), "/?a=b");
    assert_eq!(read("ftp://example.com/v1/x"), Err(TargetError::Scheme));
    assert_eq!(read("example.com:443"), Err(TargetError::AuthorityForm));
    assert_eq!(read("*"), Err(TargetError::Asterisk));
}

#[test]
fn h4_odd_methods() {
    let check = |name: &str| check_method(&Method::from_bytes(name.as_bytes()).unwrap());
    for fine in [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY",
    ] {
        assert_eq!(check(fine), Ok(()));
    }
    for odd in ["post", "Post", "POS_T", "M-SEARCH", "GET1", "!"] {
        assert_eq!(check(odd), Err(TargetError::OddMethod), "{odd}");
    }
    for refused in ["CONNECT", "TRACE"] {
        assert_eq!(
            check(refused).map_err(TargetError::status),
            Err(StatusCode::METHOD_NOT_ALLOWED)
        );
    }
}

#[test]
fn h13_a_long_target_is_414() {
    let long = format!("/{}", "a".repeat(MAX_TARGET));
    assert_eq!(
        read(&long).map_err(TargetError::status),
        Err(StatusCode::URI_TOO_LONG)
    );
    assert_eq!(normalise(&long), Err(TargetError::TooLong));
    assert_eq!(
        read(&format!("/?{}", "a".repeat(MAX_TARGET))),
        Err(TargetError::TooLong)
    );
    assert!(read(&long[..MAX_TARGET]).is_ok());
}

/// Paths made of the pieces that matter, so that many are accepted and many are nearly so.
pub(crate) fn tricky_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[a-zA-Z0-9]{1,4}",
        4 => Just("/".to_owned()),
        2 => prop::sample::select(vec![".", "..", "*", ":", "~", "+", "@", ";", "\\", "%", "//", "é", " ", "{"])
            .prop_map(str::to_owned),
        3 => (0x20_u8..0x80).prop_map(|byte| format!("%{byte:02x}")),
        1 => any::<u8>().prop_map(|byte| format!("%{byte:02X}")),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn p1_normalising_is_idempotent_and_copies_only_what_changes(path in tricky_path()) {
        if let Ok(normal) = normalise(&path) {
            prop_assert_eq!(matches!(normal, Cow::Borrowed(_)), *normal == path);
            prop_assert!(matches!(normalise(&normal), Ok(Cow::Borrowed(same)) if *same == *normal));
        }
    }

    #[test]
    fn p1_a_normal_path_decodes_to_the_same_bytes_and_to_nothing_ambiguous(path in tricky_path()) {
        if let Ok(normal) = normalise(&path) {
            let decoded = decode(&normal);
            prop_assert_eq!(&decoded, &decode(&path));
            prop_assert_eq!(&decode(&decoded), &decoded, "decoding twice changes nothing");
            prop_assert!(decoded.is_ascii());
            prop_assert!(!decoded.contains(['\\', '%', ';', '?', '#', '\0']));
            prop_assert!(!decoded.contains("//"));
            prop_assert!(decoded.split('/').all(|segment| segment != "." && segment != ".."));
        }
    }

    #[test]
    fn p1_one_spelling_for_each_path(a in tricky_path(), b in tricky_path()) {
        if let (Ok(a), Ok(b)) = (normalise(&a), normalise(&b)) {
            prop_assert_eq!(a == b, decode(&a) == decode(&b));
        }
    }

    #[test]
    fn p1_no_input_panics_and_every_accepted_target_survives_the_http_crate(path in "\\PC{0,40}", query in "\\PC{0,20}") {
        let _ = normalise(&path);
        let _ = check_query(query.as_bytes());
        if let Ok(uri) = format!("/{path}?{query}").parse::<Uri>()
            && let Ok(target) = Target::read(&Method::GET, &uri)
        {
            prop_assert_eq!(target.query(), uri.query());
            prop_assert_eq!(target.path(), normalise(uri.path()).unwrap());
        }
    }
}

/// Percent-decoding as servers do it: every whole escape, once.
pub(crate) fn decode(path: &str) -> String {
    let mut decoded = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        match escape(&rest.as_bytes()[at + 1..]) {
            Some(byte) => {
                decoded.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            None => {
                decoded.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    decoded + rest
}

#[test]
fn h13_path_and_query_count_together() {
    let read = |length: usize| {
        let uri: Uri = format!("/{}?{}", "p".repeat(100), "q".repeat(length - 102))
            .parse()
            .unwrap();
        assert_eq!(uri.path_and_query().unwrap().as_str().len(), length);
        Target::read(&Method::GET, &uri).map(drop)
    };
    assert_eq!(read(MAX_TARGET), Ok(()));
    assert_eq!(read(MAX_TARGET + 1), Err(TargetError::TooLong));
}
