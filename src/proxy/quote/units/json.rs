//! One number in a JSON text, without building the rest.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The deepest nesting that is read.
const DEPTH_MAX: usize = 64;

/// The number at `times`, dots leading into objects; 1 where it is absent. The error is a sentence for whoever sent the body.
pub(in crate::proxy) fn units(body: &[u8], times: &str) -> Result<u64, String> {
    let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
    check_depth(body)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let found = Object {
        path: times,
        whole: times,
    }
    .deserialize(&mut reader);
    let units = found
        .and_then(|units| reader.end().map(|()| units))
        .map_err(|error| error.to_string())?;
    Ok(units.unwrap_or(1))
}

/// Counts brackets outside of strings, so that nothing is read by recursion that is too deep.
fn check_depth(body: &[u8]) -> Result<(), String> {
    let mut depth = 0_usize;
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(format!("it is nested deeper than {DEPTH_MAX} levels"));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// An object on the way to the number.
struct Object<'p> {
    /// From here.
    path: &'p str,
    whole: &'p str,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Option<u64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<u64>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object on the way to `{}`", self.whole)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<u64>, A::Error> {
        let (name, rest) = match self.path.split_once('.') {
            Some((name, rest)) => (name, Some(rest)),
            None => (self.path, None),
        };
        let mut found = None;
        let mut seen = false;
        while let Some(key) = map.next_key_seed(Text)? {
            if key != name {
                if folded(&key).eq(folded(name)) {
                    return Err(A::Error::custom(format_args!(
                        "`{name}` is there in another spelling"
                    )));
                }
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if seen {
                return Err(A::Error::custom(format_args!("`{name}` is there twice")));
            }
            seen = true;
            found = match rest {
                Some(path) => map.next_value_seed(Object {
                    path,
                    whole: self.whole,
                })?,
                None => Some(map.next_value_seed(Number(self.whole))?),
            };
        }
        Ok(found)
    }
}

/// As loose parsers compare names: some servers take `N` for `n`, and Unicode's two look-alikes of `k` and `s` for those.
fn folded(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => c.to_ascii_lowercase(),
    })
}

/// A name, decoded.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A plain integer of 1 or more; the place it stands at.
struct Number<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Number<'_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Number<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be a whole number of 1 or more", self.0)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        if number == 0 {
            Err(E::invalid_value(serde::de::Unexpected::Unsigned(0), &self))
        } else {
            Ok(number)
        }
    }
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
            (" {\n\"n\" : 18446744073709551615 }\r\n", "n", u64::MAX),
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
            r#"{"n":18446744073709551616}"#,
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
