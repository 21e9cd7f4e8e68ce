//! Secrets, and how a file refers to them: `${ENV}` and `${file:/path}` inside a text, or `file:/path` for the whole of it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A text that is never shown: it prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: &str) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is the secret that was presented; takes as long for a near miss as for a far one.
    pub fn matches(&self, presented: &[u8]) -> bool {
        let [own, other] = [self.0.as_bytes(), presented].map(Sha256::digest);
        own.as_slice().ct_eq(other.as_slice()).into()
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The value of an environment variable.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;
/// The content of a file.
pub type Files<'a> = &'a dyn Fn(&Path) -> std::io::Result<Vec<u8>>;

/// A secret file is a line of text, not a disk.
const SECRET_MAX: usize = 64 * 1024;

/// Why a secret could not be had: what, and what to do. Names variables and files, never a value.
pub(super) type Unresolved = (String, String);

/// Puts in what a text refers to.
pub(super) fn resolve(text: &str, env: Env<'_>, files: Files<'_>) -> Result<Secret, Unresolved> {
    if let Some(path) = text.strip_prefix("file:") {
        return from_file(path, files).map(|value| Secret::new(&value));
    }
    let mut value = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        // `$${` stands for `${` itself.
        if let Some(plain) = before.strip_suffix('$') {
            value.push_str(plain);
            value.push_str("${");
            rest = &from[2..];
            continue;
        }
        value.push_str(before);
        let Some(end) = from.find('}') else {
            return Err((
                "`${` is not closed".into(),
                "write ${NAME}, or $${ where no variable is meant".into(),
            ));
        };
        value.push_str(&reference(&from[2..end], env, files)?);
        rest = &from[end + 1..];
    }
    value.push_str(rest);
    if value.is_empty() {
        return Err(("is empty".into(), "give a value, or take the key out".into()));
    }
    Ok(Secret::new(&value))
}

fn reference(name: &str, env: Env<'_>, files: Files<'_>) -> Result<String, Unresolved> {
    if let Some(path) = name.strip_prefix("file:") {
        return from_file(path, files);
    }
    let fits = |(at, b): (usize, u8)| b == b'_' || b.is_ascii_alphabetic() || (at > 0 && b.is_ascii_digit());
    if name.is_empty() || name.len() > 256 || !name.bytes().enumerate().all(fits) {
        return Err((
            "`${...}` does not name an environment variable".into(),
            "write ${NAME} with letters, digits and _, or ${file:/path}; there are no defaults inside the braces".into(),
        ));
    }
    match env(name) {
        Some(value) if value.is_empty() => Err((
            format!("the environment variable {name} is empty"),
            format!("give {name} a value"),
        )),
        Some(value) => Ok(value),
        None => Err((
            format!("the environment variable {name} is not set"),
            format!("set {name}, or refer to a file: file:/path"),
        )),
    }
}

fn from_file(path: &str, files: Files<'_>) -> Result<String, Unresolved> {
    if path.is_empty() {
        return Err(("`file:` names no file".into(), "write file:/path".into()));
    }
    let bytes = files(Path::new(path)).map_err(|error| {
        (
            format!("the file {path} cannot be read: {error}"),
            "make it readable for the user that runs faregate".into(),
        )
    })?;
    let whole = if bytes.len() > SECRET_MAX {
        None
    } else {
        String::from_utf8(bytes).ok()
    };
    // Editors and `echo` end a file with a newline that is not meant.
    match whole.as_deref().map(|text| text.trim_end_matches(['\r', '\n'])) {
        None => Err((
            format!("the file {path} is no secret: not UTF-8 text of at most 64 KiB"),
            "put the secret alone into the file".into(),
        )),
        Some("") => Err((
            format!("the file {path} is empty"),
            "put the secret into the file".into(),
        )),
        Some(text) => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("sk-1".into()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${KEY}".into()),
            _ => None,
        }
    }

    fn files(path: &Path) -> std::io::Result<Vec<u8>> {
        match path.to_str() {
            Some("/run/key") => Ok(b"from-file\n".to_vec()),
            Some("/run/empty") => Ok(b"\r\n".to_vec()),
            Some("/run/binary") => Ok(vec![0xff, 0xfe]),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    #[test]
    fn references_are_put_in_once() {
        for (text, value) in [
            ("plain", "plain"),
            ("${KEY}", "sk-1"),
            ("Bearer ${KEY}", "Bearer sk-1"),
            ("${KEY}:${KEY}", "sk-1:sk-1"),
            ("file:/run/key", "from-file"),
            ("Bearer ${file:/run/key}", "Bearer from-file"),
            ("$5 and $${KEY}", "$5 and ${KEY}"),
            ("${NESTED}", "${KEY}"),
            ("$", "$"),
        ] {
            assert_eq!(resolve(text, &env, &files).unwrap().expose(), value, "{text}");
        }
    }

    #[test]
    fn s2_what_is_missing_is_named_and_never_a_value() {
        for (text, names) in [
            ("", "is empty"),
            ("${NONE}", "NONE is not set"),
            ("a${EMPTY}b", "EMPTY is empty"),
            ("${KEY", "not closed"),
            ("${}", "does not name"),
            ("${KEY:-x}", "no defaults"),
            ("file:", "names no file"),
            ("file:/none", "/none cannot be read"),
            ("file:/run/empty", "/run/empty is empty"),
            ("file:/run/binary", "/run/binary is no secret"),
            ("${KEY}${NONE}", "NONE"),
        ] {
            let (what, advice) = resolve(text, &env, &files).unwrap_err();
            let said = format!("{what}; {advice}");
            assert!(said.contains(names), "{text}: {said}");
            assert!(!said.contains("sk-1"), "{text}: {said}");
        }
    }

    #[test]
    fn s2_a_secret_prints_as_stars_and_compares_whole() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert!(secret.matches(b"hunter2"));
        for other in [&b"hunter"[..], b"hunter22", b"", b"Hunter2"] {
            assert!(!secret.matches(other));
        }
    }
}
