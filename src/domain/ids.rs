//! Names of things. Each is checked where it enters, so that no later layer meets a hostile one.

use std::fmt;
use std::sync::Arc;

/// The longest name, in bytes.
pub const NAME_MAX: usize = 128;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty or longer than [`NAME_MAX`] bytes.
    #[error("a name has 1 to {NAME_MAX} characters")]
    Length,
    /// Empty or longer than this kind of name may be.
    #[error("such a name has 1 to {max} characters")]
    Size {
        /// The most bytes it may have.
        max: usize,
    },
    /// A character that is not allowed, which.
    #[error("a name has visible ASCII characters without {forbidden}; found {found:?}")]
    Character {
        /// The first character that is not allowed.
        found: char,
        /// Those this kind of name may not have.
        forbidden: &'static str,
    },
}

fn check(text: &str, forbidden: &'static str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > NAME_MAX {
        return Err(NameError::Length);
    }
    match text
        .chars()
        .find(|c| !c.is_ascii_graphic() || forbidden.contains(*c))
    {
        Some(found) => Err(NameError::Character { found, forbidden }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $forbidden:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text; the error says which character is wrong.
            pub fn new(text: &str) -> Result<$name, NameError> {
                check(text, $forbidden)?;
                Ok($name(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<$name, NameError> {
                $name::new(text)
            }
        }
    };
}

name!(
    /// An account. Without the characters that mean something in a Redis key or pattern, or that JSON escapes; `/` is allowed
    /// (`acme/research`), its first segment will one day choose the partition.
    AccountId, "{}:*?[]\\\""
);
name!(
    /// An API key's public name (`key_...`); never the key itself.
    KeyId, "{}:*?[]\\\""
);
name!(
    /// A grant, named by whoever made it.
    GrantId, "{}*?[]\\\""
);
name!(
    /// A change asked for by a person or a program that may ask again: the idempotency key of an admin write.
    CommandId, "{}*?[]\\\""
);
name!(
    /// A plan of the configuration.
    PlanId, "{}:*?[]\\\""
);
name!(
    /// Why an account is paused: a kind, or kind and object (`invoice:in_1`, `manual`).
    Reason, "{}*?[]\\\""
);

impl Reason {
    /// What kind it is, without the object: `dispute` of `dispute:dp_1`.
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(kind, _)| kind)
    }
}

/// A hold, which is also the request it pays for: a UUID of version 7 (RFC 9562), so that ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId([u8; 16]);

impl HoldId {
    /// From the time in milliseconds since the epoch and ten random bytes.
    pub fn new(millis: i64, random: [u8; 10]) -> HoldId {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        HoldId(bytes)
    }

    /// The sixteen bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From sixteen bytes as stored.
    pub fn from_bytes(bytes: [u8; 16]) -> HoldId {
        HoldId(bytes)
    }

    /// When the id was made, in milliseconds since the epoch, by its maker's clock.
    pub fn millis(&self) -> i64 {
        self.0[..6].iter().fold(0, |n, b| n << 8 | i64::from(*b))
    }
}

impl fmt::Display for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                at += 1;
            }
            const HEX: &[u8; 16] = b"0123456789abcdef";
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for HoldId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for HoldId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<HoldId, NameError> {
        if text.len() != 36 {
            return Err(NameError::Length);
        }
        let mut bytes = [0; 16];
        let mut digits = 0;
        for (i, c) in text.char_indices() {
            let hyphen = matches!(i, 8 | 13 | 18 | 23);
            match c.to_digit(16) {
                Some(digit) if !hyphen => {
                    bytes[digits / 2] = bytes[digits / 2] << 4 | digit as u8;
                    digits += 1;
                }
                None if hyphen && c == '-' => {}
                _ => {
                    return Err(NameError::Character {
                        found: c,
                        forbidden: "anything but a UUID's digits and hyphens",
                    });
                }
            }
        }
        Ok(HoldId(bytes))
    }
}

/// SHA-256 of an API key: all that is stored of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    /// Lower-case hexadecimal.
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A digest identifies a key: the first bytes are enough to tell two apart.
        write!(f, "{:02x}{:02x}..", self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn s7_names_that_could_reach_another_key_are_refused() {
        for bad in [
            "",
            "a b",
            "a{1}",
            "a:b",
            "a*",
            "a\\b",
            "a\r\nb",
            "a\0",
            "ä",
            &"x".repeat(129),
        ] {
            assert!(AccountId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["acme", "acme/research", "cus_123", "a@b.c", &"x".repeat(128)] {
            assert!(AccountId::new(good).is_ok(), "{good:?}");
        }
        assert!(GrantId::new("stripe:credgr_1").is_ok());
    }

    proptest! {
        #[test]
        fn hold_ids_keep_their_time_and_their_text_form(millis in 0i64..(1 << 47), random: [u8; 10]) {
            let id = HoldId::new(millis, random);
            prop_assert_eq!(id.millis(), millis);
            prop_assert_eq!(id.to_string().parse::<HoldId>(), Ok(id));
        }
    }
}
