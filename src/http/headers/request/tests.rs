use ::http::Request;

use super::*;

fn request(version: Version, lines: &[(&str, &str)]) -> Parts {
    let mut builder = Request::post("/v1/x").version(version).header("host", "a");
    for (name, value) in lines {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn clean(lines: &[(&str, &str)]) -> Result<(Vec<String>, RequestFacts), HeaderError> {
    let mut parts = request(Version::HTTP_11, lines);
    let before = parts.headers.clone();
    let facts = clean_request(&mut parts, &RequestRules::default());
    if facts.is_err() {
        assert_eq!(parts.headers, before, "a refused request is left as it is");
    }
    let left = parts
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    Ok((left.skip(1).collect(), facts?))
}

fn left(lines: &[(&str, &str)]) -> Vec<String> {
    clean(lines).unwrap().0
}

#[test]
fn an_ordinary_request_passes_unchanged() {
    let lines = [
        ("authorization", "Bearer fg_live_x"),
        ("content-type", "application/json"),
        ("content-length", "12"),
        ("accept", "*/*"),
        ("user-agent", "OpenAI/Python 1.0"),
        ("x-stainless-lang", "python"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-latin", "ok"),
    ];
    let (kept, facts) = clean(&lines).unwrap();
    assert_eq!(kept, lines.map(|(name, value)| format!("{name}: {value}")));
    assert_eq!(facts, RequestFacts::default());
}

#[test]
fn h5_hop_by_hop_and_nominated_headers_are_stripped() {
    let kept = left(&[
        ("connection", "keep-alive, x-hop, Proxy-Connection"),
        ("connection", "X-Other,,"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x-sum"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("upgrade", "h2c"),
        ("x-hop", "1"),
        ("x-other", "1"),
        ("x-far", "1"),
    ]);
    assert_eq!(kept, ["x-far: 1"]);
}

#[test]
fn h5_nominating_an_end_to_end_header_is_refused() {
    for name in [
        "authorization",
        "Host",
        "content-length",
        "X-API-Key",
        "api-key",
        "cookie",
        "anthropic-version",
    ] {
        let refused = clean(&[("connection", "keep-alive"), ("connection", name)]).unwrap_err();
        assert_eq!(
            refused,
            HeaderError::Nominated(HeaderName::from_bytes(name.as_bytes()).unwrap())
        );
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(
        clean(&[("connection", "a b")]).unwrap_err(),
        HeaderError::Connection
    );
    let mut parts = request(Version::HTTP_11, &[("connection", "x-key")]);
    let rules = RequestRules {
        end_to_end: vec![HeaderName::from_static("x-key")],
        ..RequestRules::default()
    };
    assert!(matches!(
        clean_request(&mut parts, &rules),
        Err(HeaderError::Nominated(_))
    ));
}

#[test]
fn p15_names_with_an_underscore_are_refused() {
    for name in [
        "content_length",
        "x_forwarded_for",
        "x-credits_remaining",
        "_",
        "a_",
    ] {
        assert!(matches!(clean(&[(name, "1")]), Err(HeaderError::Underscore(found)) if found == name));
    }
}

#[test]
fn p15_what_only_a_gate_may_say_is_stripped() {
    let mut parts = request(
        Version::HTTP_11,
        &[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("X-Forwarded-Host", "a"),
            ("forwarded", "for=1.1.1.1"),
            ("x-real-ip", "1.1.1.1"),
            ("x-original-url", "/free"),
            ("x-rewrite-url", "/free"),
            ("x-credits-used", "0"),
            ("x-my-cost", "0"),
            ("x-forward", "1"),
        ],
    );
    let rules = RequestRules {
        strip: vec![HeaderName::from_static("x-my-cost")],
        ..RequestRules::default()
    };
    clean_request(&mut parts, &rules).unwrap();
    let kept: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(kept, ["host", "x-forward"]);
}

#[test]
fn p9_p15_who_pays_the_upstream_is_not_the_clients_to_say() {
    let names = [
        "OpenAI-Organization",
        "OpenAI-Project",
        "x-goog-api-key",
        "x-goog-user-project",
        "xi-api-key",
        "ocp-apim-subscription-key",
        "Helicone-Auth",
        "helicone-target-url",
        "x-litellm-api-key",
        "x-litellm-tags",
        "x-portkey-config",
        "cf-aig-custom-cost",
        "x-bf-vk",
        "x-amzn-bedrock-service-tier",
        "x-vertex-ai-llm-shared-request-type",
        "x-dashscope-async",
    ];
    for name in names {
        assert_eq!(
            left(&[(name, "1"), ("openai-beta", "2")]),
            ["openai-beta: 2"],
            "{name}"
        );
    }
    // Where this gate's own keys may stand, they are for it to read.
    let mut parts = request(
        Version::HTTP_11,
        &[("x-goog-api-key", "fg_live_x"), ("x-goog-user-project", "1")],
    );
    let rules = RequestRules {
        end_to_end: vec![HeaderName::from_static("x-goog-api-key")],
        ..RequestRules::default()
    };
    clean_request(&mut parts, &rules).unwrap();
    let kept: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(kept, ["host", "x-goog-api-key"]);
}

#[test]
fn h4_method_override_is_refused() {
    for name in ["x-http-method", "X-HTTP-Method-Override", "x-method-override"] {
        assert!(matches!(
            clean(&[(name, "DELETE")]),
            Err(HeaderError::MethodOverride(_))
        ));
    }
}

#[test]
fn h3_the_host_is_checked_too() {
    assert_eq!(
        clean(&[("host", "b")]).unwrap_err(),
        HeaderError::Host(HostError::Double)
    );
}

#[test]
fn te_is_reduced_to_trailers() {
    let (kept, facts) = clean(&[("te", "gzip, Trailers;q=0.5"), ("connection", "te")]).unwrap();
    assert_eq!(kept, ["te: trailers"]);
    assert!(facts.accepts_trailers);
    let (kept, facts) = clean(&[("te", "gzip"), ("te", "xtrailers")]).unwrap();
    assert!(kept.is_empty());
    assert!(!facts.accepts_trailers);
}

#[test]
fn h17_expect_is_met_here() {
    let (kept, facts) = clean(&[("expect", "100-Continue")]).unwrap();
    assert!(kept.is_empty());
    assert!(facts.expects_continue);
    let refused = clean(&[("expect", "100-continue"), ("expect", "200-ok")]).unwrap_err();
    assert_eq!(
        (refused.status(), refused),
        (StatusCode::EXPECTATION_FAILED, HeaderError::Expectation)
    );
    let mut old = request(Version::HTTP_10, &[("expect", "anything")]);
    assert_eq!(
        clean_request(&mut old, &RequestRules::default()).unwrap(),
        RequestFacts::default()
    );
    assert!(!old.headers.contains_key(EXPECT));
}

#[test]
fn h6_an_upgrade_is_told_only_where_it_is_nominated() {
    let (kept, facts) = clean(&[("connection", "Upgrade"), ("upgrade", "websocket")]).unwrap();
    assert!(kept.is_empty());
    assert_eq!(facts.upgrade.unwrap(), "websocket");
    assert_eq!(clean(&[("upgrade", "websocket")]).unwrap().1.upgrade, None);
    assert_eq!(clean(&[("connection", "upgrade")]).unwrap().1.upgrade, None);
    let twice = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
    ];
    assert_eq!(clean(&twice).unwrap_err(), HeaderError::DoubleUpgrade);
    let mut old = request(
        Version::HTTP_10,
        &[("connection", "upgrade"), ("upgrade", "websocket")],
    );
    assert_eq!(
        clean_request(&mut old, &RequestRules::default()).unwrap().upgrade,
        None
    );
}

#[test]
fn h13_header_bombs_are_431() {
    let rules = RequestRules {
        lines_max: 3,
        bytes_max: 40,
        ..RequestRules::default()
    };
    let status = |lines: &[(&str, &str)]| {
        clean_request(&mut request(Version::HTTP_11, lines), &rules).map_err(|error| error.status())
    };
    assert!(status(&[("a", "1"), ("b", "2")]).is_ok());
    assert_eq!(
        status(&[("a", "1"), ("a", "2"), ("a", "3")]),
        Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    );
    assert_eq!(
        status(&[("a", &"x".repeat(27))]),
        Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    );
    assert!(status(&[("a", &"x".repeat(26))]).is_ok());
}
