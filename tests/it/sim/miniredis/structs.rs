//! The `struct` library that Redis gives to scripts: numbers and strings packed into bytes. Formats: `>` `<` (byte order), `!n` (alignment), `x` (a zero),
//! `b B h H l L T i[n] I[n]` (whole numbers), `f d` (floats), `s` (ends with a zero), `c[n]` (so many bytes).

use mlua::{Lua, MultiValue, Table, Value};

/// The longest whole number in bytes.
const INT_MAX: usize = 32;

/// What one letter of a format means.
struct Item {
    letter: u8,
    size: usize,
    little: bool,
    /// Bytes to skip before it.
    skip: usize,
}

/// Walks a format; `place` is where the bytes stand.
struct Format<'a> {
    rest: &'a [u8],
    little: bool,
    align: usize,
}

impl<'a> Format<'a> {
    fn new(format: &'a [u8]) -> Format<'a> {
        Format {
            rest: format,
            little: true,
            align: 1,
        }
    }

    fn number(&mut self, default: usize) -> usize {
        let digits = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        match std::str::from_utf8(number) {
            Ok(text) if !text.is_empty() => text.parse().unwrap_or(usize::MAX),
            _ => default,
        }
    }

    /// The next item that takes bytes.
    fn next(&mut self, place: usize) -> Result<Option<Item>, String> {
        while let Some((letter, rest)) = self.rest.split_first() {
            self.rest = rest;
            let size = match letter {
                b' ' => continue,
                b'>' => {
                    self.little = false;
                    continue;
                }
                b'<' => {
                    self.little = true;
                    continue;
                }
                b'!' => {
                    self.align = self.number(8);
                    if !self.align.is_power_of_two() {
                        return Err("alignment is not a power of 2".to_owned());
                    }
                    continue;
                }
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'f' => 4,
                b'l' | b'L' | b'T' | b'd' => 8,
                b'i' | b'I' => {
                    let size = self.number(4);
                    if size > INT_MAX {
                        return Err(format!("integral size {size} is larger than limit of {INT_MAX}"));
                    }
                    size
                }
                b'c' => self.number(1),
                b's' => 0,
                other => return Err(format!("invalid format option '{}'", char::from(*other))),
            };
            let align = if size == 0 || *letter == b'c' {
                1
            } else {
                size.min(self.align)
            };
            let skip = if align > 1 {
                (align - (place & (align - 1))) & (align - 1)
            } else {
                0
            };
            return Ok(Some(Item {
                letter: *letter,
                size,
                little: self.little,
                skip,
            }));
        }
        Ok(None)
    }
}

impl Item {
    fn is_signed(&self) -> bool {
        self.letter.is_ascii_lowercase()
    }

    fn ordered(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if !self.little {
            bytes.reverse();
        }
        bytes
    }

    /// The lowest bytes of a whole number; beyond eight there is nothing.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "as the C library does it"
    )]
    fn pack_int(&self, number: f64) -> Vec<u8> {
        let bits = if number < 0.0 {
            (number as i64).cast_unsigned()
        } else {
            number as u64
        };
        let bytes = (0..self.size).map(|i| if i < 8 { (bits >> (8 * i)) as u8 } else { 0 });
        self.ordered(bytes.collect())
    }

    #[allow(clippy::cast_precision_loss, reason = "Lua's numbers are doubles")]
    fn unpack_int(&self, bytes: &[u8]) -> f64 {
        let bytes = self.ordered(bytes.to_vec());
        let mut bits = bytes.iter().rev().fold(0_u64, |n, b| n << 8 | u64::from(*b));
        if !self.is_signed() {
            return bits as f64;
        }
        let sign = 8 * bytes.len().clamp(1, 8) - 1;
        if bits >> sign & 1 == 1 {
            bits |= u64::MAX << sign;
        }
        bits.cast_signed() as f64
    }
}

fn number(lua: &Lua, value: Value) -> mlua::Result<f64> {
    lua.coerce_number(value)?
        .ok_or_else(|| mlua::Error::runtime("bad argument to 'pack' (number expected)"))
}

#[allow(clippy::cast_possible_truncation, reason = "as the C library does it")]
fn pack(lua: &Lua, (format, args): (mlua::LuaString, MultiValue)) -> mlua::Result<mlua::LuaString> {
    let mut out = Vec::new();
    let format = format.as_bytes();
    let mut format = Format::new(&format);
    let mut args = args.into_iter();
    let mut next = || {
        args.next()
            .ok_or_else(|| mlua::Error::runtime("bad argument to 'pack' (no value)"))
    };
    while let Some(item) = format.next(out.len()).map_err(mlua::Error::runtime)? {
        out.resize(out.len() + item.skip, 0);
        match item.letter {
            b'x' => out.push(0),
            b'f' => {
                let bytes = (number(lua, next()?)? as f32).to_le_bytes();
                out.extend(item.ordered(bytes.to_vec()));
            }
            b'd' => out.extend(item.ordered(number(lua, next()?)?.to_le_bytes().to_vec())),
            b'c' | b's' => {
                let text = lua.coerce_string(next()?)?;
                let text =
                    text.ok_or_else(|| mlua::Error::runtime("bad argument to 'pack' (string expected)"))?;
                let text = text.as_bytes();
                let size = if item.size == 0 { text.len() } else { item.size };
                let taken = text.get(..size);
                out.extend(
                    taken.ok_or_else(|| mlua::Error::runtime("bad argument to 'pack' (string too short)"))?,
                );
                out.extend((item.letter == b's').then_some(0));
            }
            _ => out.extend(item.pack_int(number(lua, next()?)?)),
        }
    }
    lua.create_string(out)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as the C library does it"
)]
fn unpack(
    lua: &Lua,
    (format, data, from): (mlua::LuaString, mlua::LuaString, Option<usize>),
) -> mlua::Result<MultiValue> {
    let short = || mlua::Error::runtime("bad argument #2 to 'unpack' (data string too short)");
    let (format, data) = (format.as_bytes(), data.as_bytes());
    let mut format = Format::new(&format);
    let mut out: Vec<Value> = Vec::new();
    let mut at = from.unwrap_or(1).checked_sub(1).ok_or_else(short)?;
    while let Some(item) = format.next(at).map_err(mlua::Error::runtime)? {
        at += item.skip;
        let mut size = item.size;
        let rest = data.get(at..).ok_or_else(short)?;
        let bytes = rest.get(..size).ok_or_else(short)?;
        match item.letter {
            b'x' => {}
            b'f' => {
                let bytes = item.ordered(bytes.to_vec());
                let bytes: [u8; 4] = bytes.try_into().map_err(|_| short())?;
                out.push(Value::Number(f64::from(f32::from_le_bytes(bytes))));
            }
            b'd' => {
                let bytes = item.ordered(bytes.to_vec());
                let bytes: [u8; 8] = bytes.try_into().map_err(|_| short())?;
                out.push(Value::Number(f64::from_le_bytes(bytes)));
            }
            b'c' => {
                if size == 0 {
                    let told = out.pop().and_then(|value| value.as_f64());
                    let told =
                        told.ok_or_else(|| mlua::Error::runtime("format 'c0' needs a previous size"))?;
                    size = told as usize;
                }
                out.push(Value::String(
                    lua.create_string(rest.get(..size).ok_or_else(short)?)?,
                ));
            }
            b's' => {
                let end = rest.iter().position(|b| *b == 0);
                let end = end.ok_or_else(|| mlua::Error::runtime("unfinished string in data"))?;
                out.push(Value::String(lua.create_string(&rest[..end])?));
                size = end + 1;
            }
            _ => out.push(Value::Number(item.unpack_int(bytes))),
        }
        at += size;
    }
    #[allow(clippy::cast_precision_loss, reason = "a place in a string")]
    out.push(Value::Number((at + 1) as f64));
    Ok(out.into())
}

fn size(_: &Lua, format: mlua::LuaString) -> mlua::Result<usize> {
    let format = format.as_bytes();
    let mut format = Format::new(&format);
    let mut at = 0;
    while let Some(item) = format.next(at).map_err(mlua::Error::runtime)? {
        let variable = item.letter == b's' || item.letter == b'c' && item.size == 0;
        if variable {
            return Err(mlua::Error::runtime("variable-length format"));
        }
        at += item.skip + item.size;
    }
    Ok(at)
}

/// The library as a table.
pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    library.set("pack", lua.create_function(pack)?)?;
    library.set("unpack", lua.create_function(unpack)?)?;
    library.set("size", lua.create_function(size)?)?;
    Ok(library)
}
