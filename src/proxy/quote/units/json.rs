//! One number in a JSON text.

use crate::meter::Problem;
use crate::meter::json::{Kind, Value, check, is_twin};

/// The number at `times`, dots leading into objects; 1 where it is absent. At most 2^53. The error is a sentence for whoever sent the body.
pub(in crate::proxy) fn units(body: &[u8], times: &str) -> Result<u64, String> {
    number(body, times).map_err(|problem| problem.to_string())
}

fn number(body: &[u8], times: &str) -> Result<u64, Problem> {
    let mut at = check(body)?;
    let mut names = times.split('.').peekable();
    while let Some(name) = names.next() {
        if at.kind() != Kind::Object {
            return Err(Problem::new(format!(
                "what `{times}` is to be read from is not an object"
            )));
        }
        match (member(at, name)?, names.peek()) {
            (None, _) => return Ok(1),
            (Some(inner), Some(_)) => at = inner,
            (Some(number), None) => {
                let number = number.plain_u64().filter(|number| *number > 0);
                return number.ok_or_else(|| {
                    Problem::new(format!(
                        "`{times}` must be a whole number of 1 or more, written in digits alone"
                    ))
                });
            }
        }
    }
    Ok(1)
}

/// The member of this name, which must be there in no other spelling.
fn member<'a>(object: Value<'a>, name: &str) -> Result<Option<Value<'a>>, Problem> {
    let mut found = None;
    for (own, value) in object.members() {
        if own == name {
            found = Some(value);
        } else if is_twin(name, &own) {
            return Err(Problem::new(format!("`{name}` is there in another spelling")));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found_where_it_stands() {
        for (body, times, want) in [
            (r#"{"n":3}"#, "n", 3),
            (r#"{"a":[1,{"n":9}],"n":3,"b":null}"#, "n", 3),
            ("{}", "n", 1),
            (r#"{"n":3}"#, "parameters.n", 1),
            (r#"{"parameters":{"n":7},"n":"x"}"#, "parameters.n", 7),
            (r#"{"parameters":{}}"#, "parameters.n", 1),
            (r#"{"\u006e":4}"#, "n", 4),
            (" {\n\"n\" : 9007199254740992 }\r\n", "n", 1 << 53),
        ] {
            assert_eq!(units(body.as_bytes(), times), Ok(want), "{body}");
        }
    }

    #[test]
    fn p3_p5_what_has_two_readings_is_refused() {
        for body in [
            r#"{"n":1,"n":2}"#,
            r#"{"n":1,"\u006e":2}"#,
            r#"{"n":1,"N":2}"#,
            r#"{"N":2}"#,
            r#"{"n":0}"#,
            r#"{"n":-1}"#,
            r#"{"n":1.0}"#,
            r#"{"n":1e3}"#,
            r#"{"n":"2"}"#,
            r#"{"n":null}"#,
            r#"{"n":true}"#,
            r#"{"n":[2]}"#,
            r#"{"n":{"n":2}}"#,
            r#"{"n":9007199254740993}"#,
            r#"{"n":18446744073709551616}"#,
            r#"{"n":1,"a":{"b":[{"c":1,"\u0063":2}]}}"#,
            r#"{"n":1,"a":"\ud800"}"#,
            r#"{"n":1,"a":1e999}"#,
            r#"{"n":01}"#,
            r#"{"n":0x10}"#,
            r#"{"n":NaN}"#,
            r#"{"n":1} {"n":2}"#,
            r#"{"n":1}x"#,
            r#"{"n":1"#,
            r#"[{"n":1}]"#,
            "3",
            "",
            "\u{feff}{\"n\":1}",
            r#"{"a":1,}"#,
        ] {
            assert!(units(body.as_bytes(), "n").is_err(), "{body}");
        }
        assert!(units(b"{\"n\":1,\"a\":\"\xff\"}", "n").is_err());
        assert!(units(br#"{"p":{"n":1},"p":{"n":2}}"#, "p.n").is_err());
        assert!(units(br#"{"p":{"n":1},"P":{"n":2}}"#, "p.n").is_err());
        assert!(units(br#"{"p":3}"#, "p.n").is_err());
        assert!(units("{\"k\":1,\"\u{212a}\":9}".as_bytes(), "k").is_err());
    }

    #[test]
    fn h14_deep_nesting_is_refused_without_recursion() {
        let deep = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(units(deep(63).as_bytes(), "n"), Ok(1));
        assert!(units(deep(64).as_bytes(), "n").is_err());
        assert!(units(deep(1_000_000).as_bytes(), "n").is_err());
        let brackets = format!("{{\"a\":\"{}\\\"{}\"}}", "[".repeat(200), "{".repeat(200));
        assert_eq!(units(brackets.as_bytes(), "n"), Ok(1));
    }
}
