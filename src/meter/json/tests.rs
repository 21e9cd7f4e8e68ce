use proptest::prelude::*;

use super::*;

fn strict(text: &str) -> Result<(), String> {
    check(text.as_bytes())
        .map(drop)
        .map_err(|problem| problem.to_string())
}

#[test]
fn the_grammar_is_exact() {
    for good in [
        "{}",
        " [ ] ",
        "\t\r\n null\n",
        "true",
        "false",
        "0",
        "-0",
        "10.50e+3",
        "1E-5",
        r#""""#,
        r#"{"a":{"b":[1,2,{"c":null}]},"d":"\u00e9\ud83d\ude00"}"#,
        "\"\u{7f}\u{2028}\u{feff}\"",
    ] {
        assert_eq!(strict(good), Ok(()), "{good}");
        assert!(loose(good.as_bytes()).is_ok(), "{good}");
    }
    for bad in [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{1:2}",
        "[1}",
        "{\"a\":1]",
        "nul",
        "nulll",
        "True",
        "nan",
        "-NaN",
        "+Infinity",
        "Inf",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "1_000",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"\0\"",
        "1 2",
        "{} {}",
        "[]x",
        "/**/1",
        "[1] // c",
        "\u{feff}{}",
        "\u{a0}1",
        "\u{c}1",
    ] {
        assert!(strict(bad).is_err(), "{bad}");
        assert!(loose(bad.as_bytes()).is_err(), "{bad}");
    }
    for bytes in [
        &b"\"\xff\""[..],
        b"\xff\xfe{\0}\0",
        b"\"\xed\xa0\x80\"",
        b"\"\xc0\xaf\"",
    ] {
        assert!(check(bytes).is_err() && loose(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn numbers_that_python_writes_are_read_in_answers_alone() {
    for text in [
        "NaN",
        "Infinity",
        "-Infinity",
        r#"[NaN,-Infinity , {"a":Infinity}]"#,
    ] {
        assert!(strict(text).is_err(), "{text}");
        let value = loose(text.as_bytes()).unwrap();
        assert_eq!(value.raw(), text);
        assert_eq!(value.plain_u64(), None);
        for item in value.items() {
            assert!(
                matches!(item.kind(), Kind::Number | Kind::Object),
                "{}",
                item.raw()
            );
        }
    }
    let whole = loose(br#"{"a":-Infinity,"b":NaN}"#).unwrap();
    assert_eq!(whole.get("a").map(|value| value.kind()), Some(Kind::Number));
    assert_eq!(whole.get("b").map(|value| value.raw()), Some("NaN"));
}

#[test]
fn p3_a_name_twice_is_refused_at_any_depth_in_any_spelling() {
    for bad in [
        r#"{"model":"a","model":"b"}"#,
        r#"{"model":"a","mo\u0064el":"b"}"#,
        r#"{"mo\u0064el":"a","m\u006fdel":"b"}"#,
        r#"[[{"x":{"":1,"":2}}]]"#,
        r#"{"\ud83d\ude00":1,"😀":2}"#,
        r#"{"a/b":1,"a\/b":2}"#,
    ] {
        assert!(strict(bad).unwrap_err().contains("twice"), "{bad}");
        assert!(loose(bad.as_bytes()).is_ok(), "{bad}");
    }
    for good in [
        r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#,
        r#"[{"a":1},{"a":2}]"#,
        r#"{"a":1,"A":2,"a\u0000":3,"aa":4,"a ":5,"":6}"#,
        r#"{"12345678":1,"123456789":2,"1234567":3,"12345678\u0000":4}"#,
    ] {
        assert_eq!(strict(good), Ok(()), "{good}");
    }
    // Few names are compared as they come, many are sorted: with and without a double among them.
    for count in [2, 15, 16, 17, 18, 40, 1000] {
        let names: Vec<String> = (0..count)
            .map(|n| format!("\"name\\u005f{n}\":{{\"x\":{n}}}"))
            .collect();
        let object = |names: &[String]| format!("[{{{}}}, {{\"y\":1}}]", names.join(","));
        assert_eq!(strict(&object(&names)), Ok(()), "{count}");
        for at in [0, count / 2, count - 1] {
            let mut doubled = names.clone();
            doubled.push(format!("\"name_{at}\":1"));
            assert!(
                strict(&object(&doubled))
                    .unwrap_err()
                    .contains(&format!("`name_{at}`")),
                "{count}"
            );
        }
    }
    assert_eq!(
        loose(br#"{"a":1,"b":2,"\u0061":3}"#)
            .unwrap()
            .get("a")
            .unwrap()
            .plain_u64(),
        Some(3)
    );
}

#[test]
fn p4_half_a_surrogate_pair_is_refused_and_read_as_a_replacement_in_answers() {
    for bad in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\ud800""#,
        r#""\ud800x""#,
        r#"{"\ud800":1}"#,
        r#""\ud800\n""#,
    ] {
        assert!(strict(bad).unwrap_err().contains("surrogate"), "{bad}");
        assert!(loose(bad.as_bytes()).is_ok(), "{bad}");
    }
    assert_eq!(loose(br#""a\ud800b""#).unwrap().str().unwrap(), "a\u{fffd}b");
}

#[test]
fn h14_depth_members_and_numbers_have_a_limit() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(strict(&deep(DEPTH_MAX)), Ok(()));
    assert!(strict(&deep(DEPTH_MAX + 1)).unwrap_err().contains("64 levels"));
    assert!(strict(&"[".repeat(5_000_000)).is_err());
    assert!(loose("{\"a\":".repeat(5_000_000).as_bytes()).is_err());
    let wide = |members: usize| {
        let members: Vec<String> = (0..members).map(|n| format!("\"{n}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(strict(&wide(MEMBERS_MAX)), Ok(()));
    assert!(strict(&wide(MEMBERS_MAX + 1)).unwrap_err().contains("members"));
    let within = |levels: usize| {
        let open: Vec<String> = wide(MEMBERS_MAX - 1)
            .strip_suffix('}')
            .map(|open| vec![format!("{open},\"x\":"); levels])
            .unwrap();
        format!("{}{}{}", open.concat(), "{\"y\":1}", "}".repeat(levels))
    };
    assert_eq!(strict(&within(3)), Ok(()));
    assert!(strict(&within(4)).unwrap_err().contains("within one another"));
    for (number, good) in [
        ("1e300", true),
        ("-1e300", true),
        ("1e301", false),
        ("-1e999999999999999999999", false),
        ("1e-999999999999999999999", true),
        (&"9".repeat(300), true),
        (&"9".repeat(400), false),
        (&format!("0.{}", "0".repeat(100_000)), true),
    ] {
        assert_eq!(strict(number).is_ok(), good, "{number:.40}");
        assert!(loose(number.as_bytes()).is_ok());
    }
}

#[test]
fn values_are_walked_where_they_lie() {
    let text = r#" { "a" : [ 1 , "]}\"", {"b":[]} ,[ ], true,null , -1.5 ] , "\u0063" : "x\ny", "n":9007199254740992}"#;
    let whole = check(text.as_bytes()).unwrap();
    assert_eq!(&text[whole.span()], text.trim());
    let names: Vec<_> = whole
        .members()
        .map(|(name, value)| (name, value.kind()))
        .collect();
    assert_eq!(
        names,
        [
            ("a".into(), Kind::Array),
            ("c".into(), Kind::String),
            ("n".into(), Kind::Number)
        ]
    );
    let items: Vec<_> = whole.get("a").unwrap().items().collect();
    let raw: Vec<_> = items.iter().map(Value::raw).collect();
    assert_eq!(
        raw,
        ["1", r#""]}\"""#, r#"{"b":[]}"#, "[ ]", "true", "null", "-1.5"]
    );
    assert_eq!(items[1].str().unwrap(), "]}\"");
    assert_eq!(
        (items[4].bool(), items[5].bool(), items[5].is_null()),
        (Some(true), None, true)
    );
    assert_eq!(
        items[3].items().count() + items[0].items().count() + items[1].members().count(),
        0
    );
    assert_eq!(whole.get("c").unwrap().str().unwrap(), "x\ny");
    assert_eq!(whole.get("n").unwrap().plain_u64(), Some(NUMBER_MAX));
    assert!(whole.get("b").is_none());
    for other in [
        "9007199254740993",
        "-1",
        "1.0",
        "1e3",
        "\"1\"",
        "null",
        "18446744073709551616",
        "[1]",
        "99999999999999999",
    ] {
        assert_eq!(check(other.as_bytes()).unwrap().plain_u64(), None, "{other}");
    }
}

#[test]
fn members_are_found_with_what_is_around_them() {
    let text = r#"{ "a":null , "b" : [","], "c":1}"#;
    let whole = check(text.as_bytes()).unwrap();
    let around = |name| whole.get(name).unwrap().around();
    let (a, b, c) = (around("a"), around("b"), around("c"));
    assert_eq!((a.before, a.name, a.after), (None, 2, Some(b.name)));
    assert_eq!(
        (b.before, &text[b.name..b.name + 3], b.after),
        (Some(10), "\"b\"", Some(c.name))
    );
    assert_eq!(
        (c.before, c.after),
        (Some(whole.get("b").unwrap().span().end), None)
    );
    let alone = check(b"[{\"x\": 5 }]")
        .unwrap()
        .items()
        .next()
        .unwrap()
        .get("x")
        .unwrap()
        .around();
    assert_eq!((alone.before, alone.name, alone.after), (None, 2, None));
}

/// Any JSON text, some of it in odd spellings.
fn any_json() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "\"a\"",
        "\"b\"",
        "\"\\u0061\"",
        "\"c c\"",
        "\"\"",
        "\"é\"",
        "\"\\n\"",
    ]);
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>()
            .prop_filter("finite", |n| n.is_finite())
            .prop_map(|n| format!("{n:e}")),
        "[ -~é😀\u{0}-\u{10}]{0,40}".prop_map(|text| serde_json::Value::from(text).to_string()),
        prop::sample::select(vec![
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\/\"",
            "-0.0",
            "1e400"
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        let member = (name.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec(member, 0..5).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}"))
                    .collect();
                format!("{{{}}}", members.join(",\n"))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_accepted_others_read_alike(
        text in any_json(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..3),
    ) {
        const BYTES: &[u8] = b"\"\\{}[],:0123456789.eE+-utfn \n\0\xc3\xff";
        let mut bytes = text.into_bytes();
        for (at, byte) in edits {
            let (at, byte) = (at.index(bytes.len() + 1), byte.index(BYTES.len() + 1));
            match BYTES.get(byte) {
                Some(byte) => bytes.insert(at, *byte),
                None => drop(bytes.drain(at..bytes.len().min(at + 3))),
            }
        }
        crate::meter::fuzzing::json(&bytes);
    }
}
