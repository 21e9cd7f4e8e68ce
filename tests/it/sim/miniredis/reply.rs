//! RESP2: what clients send, what the server answers.

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(String),
    /// With its code: `ERR syntax error`.
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Nil,
    /// No array, as an answer that would have been one.
    NilArray,
    Array(Vec<Reply>),
}

impl Reply {
    pub(crate) fn ok() -> Reply {
        Reply::Status("OK".to_owned())
    }

    pub(crate) fn error(text: &str) -> Reply {
        Reply::Error(text.to_owned())
    }

    pub(crate) fn int(n: usize) -> Reply {
        Reply::Int(i64::try_from(n).expect("a length"))
    }

    pub(crate) fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(bytes.as_ref().to_vec())
    }

    pub(crate) fn maybe(bytes: Option<&Vec<u8>>) -> Reply {
        bytes.map_or(Reply::Nil, |b| Reply::Bulk(b.clone()))
    }

    pub(crate) fn bulks<T: AsRef<[u8]>>(all: impl IntoIterator<Item = T>) -> Reply {
        Reply::Array(all.into_iter().map(Reply::bulk).collect())
    }

    /// Appends its bytes.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        let mut line = |kind: char, text: &str| {
            // A line break would end the answer early.
            let text = text.replace(['\r', '\n'], " ");
            to.extend(format!("{kind}{text}\r\n").bytes());
        };
        match self {
            Reply::Status(text) => line('+', text),
            Reply::Error(text) => line('-', text),
            Reply::Int(n) => line(':', &n.to_string()),
            Reply::Nil => line('$', "-1"),
            Reply::NilArray => line('*', "-1"),
            Reply::Bulk(bytes) => {
                line('$', &bytes.len().to_string());
                to.extend(bytes);
                to.extend(b"\r\n");
            }
            Reply::Array(items) => {
                line('*', &items.len().to_string());
                items.iter().for_each(|item| item.write(to));
            }
        }
    }
}

/// Takes the first whole command off the buffer; `None` when there is none yet. An error ends the connection.
pub(crate) fn take_command(buffer: &mut Vec<u8>) -> Result<Option<Vec<Vec<u8>>>, String> {
    let mut at = 0;
    let Some(count) = header(buffer, &mut at, b'*')? else {
        return Ok(None);
    };
    let mut args = Vec::new();
    for _ in 0..count {
        let Some(len) = header(buffer, &mut at, b'$')? else {
            return Ok(None);
        };
        if buffer.len() < at + len + 2 {
            return Ok(None);
        }
        args.push(buffer[at..at + len].to_vec());
        at += len + 2;
    }
    buffer.drain(..at);
    Ok(Some(args))
}

/// Reads `*3\r\n` or the like.
fn header(buffer: &[u8], at: &mut usize, kind: u8) -> Result<Option<usize>, String> {
    let Some(end) = buffer[*at..].windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let line = &buffer[*at..*at + end];
    let number = line
        .strip_prefix(&[kind])
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let Some(number) = number else {
        return Err(format!(
            "ERR Protocol error: expected '{}', got {line:?}",
            char::from(kind)
        ));
    };
    *at += end + 2;
    Ok(Some(number))
}
