//! A chunked body, byte by byte but for the chunks themselves, which are skipped.

use super::Violation;

/// Longest chunk extension, in bytes.
const EXTENSION_MAX: u16 = 1024;

#[derive(Debug, Clone, Copy)]
pub(super) enum Chunked {
    Size {
        digits: u8,
        value: u64,
    },
    Extension {
        length: u16,
        value: u64,
    },
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// Behind the last chunk: at the beginning of a trailer line or of the empty line that ends the body.
    Line,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

impl Default for Chunked {
    fn default() -> Self {
        Self::Size { digits: 0, value: 0 }
    }
}

impl Chunked {
    /// Reads up to the end of the body; says how many bytes that were and whether it ended, or how many were good before
    /// a rule was broken.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(usize, bool), (usize, Violation)> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Self::Data(left) = *self {
                let used = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += used;
                *self = match left - used as u64 {
                    0 => Self::DataCr,
                    left => Self::Data(left),
                };
                continue;
            }
            *self = self.step(byte).map_err(|violation| (at, violation))?;
            at += 1;
            if matches!(self, Self::End) {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    fn step(self, byte: u8) -> Result<Self, Violation> {
        match self {
            Self::Size { digits, value } => size(digits, value, byte),
            Self::Extension { length, value } => match byte {
                b'\r' => Ok(Self::SizeLf(value)),
                b'\n' => Err(Violation::BareLf),
                b'\t' | b' '..=b'~' if length < EXTENSION_MAX => Ok(Self::Extension {
                    length: length + 1,
                    value,
                }),
                _ => Err(Violation::BadChunkExtension),
            },
            Self::SizeLf(value) => line_feed(byte, if value == 0 { Self::Line } else { Self::Data(value) }),
            Self::Data(_) => Ok(self),
            Self::DataCr if byte == b'\r' => Ok(Self::DataLf),
            Self::DataLf if byte == b'\n' => Ok(Self::default()),
            Self::DataCr | Self::DataLf => Err(Violation::ChunkSpill),
            Self::Line => match byte {
                b'\r' => Ok(Self::EndLf),
                b'\n' => Err(Violation::BareLf),
                b' ' | b'\t' => Err(Violation::Folded),
                _ => Ok(Self::Trailer),
            },
            Self::Trailer => match byte {
                b'\r' => Ok(Self::TrailerLf),
                b'\n' => Err(Violation::BareLf),
                _ => Ok(Self::Trailer),
            },
            Self::TrailerLf => line_feed(byte, Self::Line),
            Self::EndLf => line_feed(byte, Self::End),
            Self::End => Ok(Self::End),
        }
    }
}

fn size(digits: u8, value: u64, byte: u8) -> Result<Chunked, Violation> {
    match char::from(byte).to_digit(16) {
        Some(digit) if digits < 16 => Ok(Chunked::Size {
            digits: digits + 1,
            value: value << 4 | u64::from(digit),
        }),
        None if digits > 0 && byte == b'\r' => Ok(Chunked::SizeLf(value)),
        None if digits > 0 && byte == b';' => Ok(Chunked::Extension { length: 0, value }),
        None if digits > 0 && byte == b'\n' => Err(Violation::BareLf),
        _ => Err(Violation::BadChunkSize),
    }
}

fn line_feed(byte: u8, then: Chunked) -> Result<Chunked, Violation> {
    if byte == b'\n' {
        Ok(then)
    } else {
        Err(Violation::BareCr)
    }
}
