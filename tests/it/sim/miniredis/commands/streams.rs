//! Streams, without consumer groups.

use super::{Answer, Call, Reply, SYNTAX, Spec, Value, WRONG_TYPE, refuse};
use crate::sim::miniredis::keyspace::{Stream, StreamId};

const READ: Spec = Spec {
    name: "",
    arity: 2,
    writes: false,
    grows: false,
    noscript: false,
    keys: (1, 1, 1),
    run: xlen,
};
const WRITE: Spec = Spec { writes: true, ..READ };

pub(super) const SPECS: &[Spec] = &[
    Spec { name: "xlen", ..READ },
    Spec {
        name: "xrange",
        arity: -4,
        run: |call| xrange(call, false),
        ..READ
    },
    Spec {
        name: "xrevrange",
        arity: -4,
        run: |call| xrange(call, true),
        ..READ
    },
    Spec {
        name: "xadd",
        arity: -5,
        grows: true,
        run: xadd,
        ..WRITE
    },
    Spec {
        name: "xtrim",
        arity: -4,
        run: xtrim,
        ..WRITE
    },
    Spec {
        name: "xdel",
        arity: -3,
        run: xdel,
        ..WRITE
    },
];

const INVALID: &str = "ERR Invalid stream ID specified as stream command argument";

fn stream<'a>(call: &'a mut Call<'_>) -> Result<Option<&'a mut Stream>, Reply> {
    match call.get(&call.args[1]) {
        None => Ok(None),
        Some(Value::Stream(stream)) => Ok(Some(stream)),
        Some(_) => refuse(WRONG_TYPE),
    }
}

fn shown((millis, number): StreamId) -> String {
    format!("{millis}-{number}")
}

/// `5-3`, or `5` with `missing` for what it does not say.
fn id(text: &[u8], missing: u64) -> Result<StreamId, Reply> {
    let parse = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let read = || {
        let text = std::str::from_utf8(text).ok()?;
        match text.split_once('-') {
            None => Some((parse(text)?, missing)),
            Some((millis, number)) => Some((parse(millis)?, parse(number)?)),
        }
    };
    read().ok_or_else(|| Reply::error(INVALID))
}

fn xlen(call: &mut Call<'_>) -> Answer {
    Ok(Reply::int(stream(call)?.map_or(0, |s| s.entries.len())))
}

/// One end of a range; `None` where nothing lies beyond it.
fn end(text: &[u8], lower: bool) -> Result<Option<StreamId>, Reply> {
    let missing = if lower { 0 } else { u64::MAX };
    match text {
        b"-" => Ok(Some((0, 0))),
        b"+" => Ok(Some((u64::MAX, u64::MAX))),
        [b'(', rest @ ..] => {
            let (millis, number) = id(rest, missing)?;
            Ok(if lower {
                number
                    .checked_add(1)
                    .map(|n| (millis, n))
                    .or(millis.checked_add(1).map(|m| (m, 0)))
            } else {
                number
                    .checked_sub(1)
                    .map(|n| (millis, n))
                    .or(millis.checked_sub(1).map(|m| (m, u64::MAX)))
            })
        }
        _ => id(text, missing).map(Some),
    }
}

fn xrange(call: &mut Call<'_>, backwards: bool) -> Answer {
    let (low, high) = if backwards { (3, 2) } else { (2, 3) };
    let ends = (end(&call.args[low], true)?, end(&call.args[high], false)?);
    let (Some(low), Some(high)) = ends else {
        return refuse("ERR invalid start ID for the interval");
    };
    let most = match call.args.len() {
        4 => None,
        6 if call.word(4) == b"COUNT" => Some(call.int(5)?),
        _ => return refuse(SYNTAX),
    };
    let Some(stream) = stream(call)? else {
        return Ok(Reply::Array(Vec::new()));
    };
    if most == Some(0) {
        return Ok(Reply::NilArray);
    }
    let most = most.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(0));
    if low > high {
        return Ok(Reply::Array(Vec::new()));
    }
    let item = |(id, fields): (&StreamId, &Vec<Vec<u8>>)| {
        Reply::Array(vec![Reply::bulk(shown(*id)), Reply::bulks(fields)])
    };
    let within = stream.entries.range(low..=high);
    Ok(Reply::Array(if backwards {
        within.rev().take(most).map(item).collect()
    } else {
        within.take(most).map(item).collect()
    }))
}

/// What a stream is cut to.
enum Cut {
    Len(usize),
    From(StreamId),
}

/// `MAXLEN ~ 100` or the like at `at`, and where it ends. That `~` may leave some more is not copied.
fn cut(call: &Call<'_>, at: usize) -> Result<(Cut, usize), Reply> {
    let sign = matches!(call.word(at + 1).as_slice(), b"=" | b"~");
    let value = at + 1 + usize::from(sign);
    if value >= call.args.len() {
        return refuse(SYNTAX);
    }
    let cut = if call.word(at) == b"MINID" {
        Cut::From(id(&call.args[value], 0)?)
    } else {
        let len = usize::try_from(call.int(value)?);
        Cut::Len(len.map_err(|_| Reply::error("ERR The MAXLEN argument must be >= 0."))?)
    };
    Ok((cut, value + 1))
}

impl Stream {
    fn cut(&mut self, to: &Cut) -> usize {
        let before = self.entries.len();
        match to {
            Cut::From(id) => self.entries = self.entries.split_off(id),
            Cut::Len(len) => {
                while self.entries.len() > *len {
                    self.entries.pop_first();
                }
            }
        }
        before - self.entries.len()
    }
}

/// The id that `XADD` asks for.
enum Asked {
    /// `*`
    Now,
    /// `5-*`
    In(u64),
    This(StreamId),
}

fn asked(text: &[u8]) -> Result<Asked, Reply> {
    if text == b"*" {
        return Ok(Asked::Now);
    }
    if let Some(millis) = text.strip_suffix(b"-*") {
        return id(millis, 0).map(|(millis, _)| Asked::In(millis));
    }
    match id(text, 0)? {
        (0, 0) => refuse("ERR The ID specified in XADD must be greater than 0-0"),
        wanted => Ok(Asked::This(wanted)),
    }
}

impl Asked {
    fn after(&self, last: StreamId, now_millis: u64) -> StreamId {
        let next = match last.1.checked_add(1) {
            Some(number) => (last.0, number),
            None => (last.0 + 1, 0),
        };
        match self {
            Asked::Now if (now_millis, 0) > last => (now_millis, 0),
            Asked::Now => next,
            Asked::In(millis) if *millis == last.0 => next,
            Asked::In(millis) => (*millis, 0),
            Asked::This(id) => *id,
        }
    }
}

fn xadd(call: &mut Call<'_>) -> Answer {
    let (mut at, mut limit, mut make) = (2, None, true);
    loop {
        match call.word(at).as_slice() {
            b"MAXLEN" | b"MINID" => {
                let (cut, after) = cut(call, at)?;
                (limit, at) = (Some(cut), after);
            }
            b"NOMKSTREAM" => (make, at) = (false, at + 1),
            _ => break,
        }
    }
    let Some(text) = call.args.get(at) else {
        return refuse("ERR wrong number of arguments for 'xadd' command");
    };
    let asked = asked(text)?;
    let fields = call.args[at + 1..].to_vec();
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return refuse("ERR wrong number of arguments for 'xadd' command");
    }
    let now = u64::try_from(call.core.now() / 1_000).expect("after 1970");
    let last = stream(call)?.map(|s| s.last);
    if last.is_none() && !make {
        return Ok(Reply::Nil);
    }
    let last = last.unwrap_or_default();
    let id = asked.after(last, now);
    if id <= last {
        return refuse("ERR The ID specified in XADD is equal or smaller than the target stream top item");
    }
    let key = call.args[1].clone();
    if stream(call)?.is_none() {
        call.put(&key, Value::Stream(Stream::default()));
    }
    if let Some(stream) = stream(call)? {
        stream.entries.insert(id, fields);
        stream.last = id;
        if let Some(limit) = limit {
            stream.cut(&limit);
        }
    }
    call.dirty = true;
    let mut written = call.args.to_vec();
    written[at] = shown(id).into_bytes();
    call.as_written = Some(written);
    Ok(Reply::bulk(shown(id)))
}

fn xtrim(call: &mut Call<'_>) -> Answer {
    if !matches!(call.word(2).as_slice(), b"MAXLEN" | b"MINID") {
        return refuse(SYNTAX);
    }
    let (cut, after) = cut(call, 2)?;
    if after != call.args.len() {
        return refuse(SYNTAX);
    }
    let gone = stream(call)?.map_or(0, |stream| stream.cut(&cut));
    call.dirty |= gone > 0;
    Ok(Reply::int(gone))
}

fn xdel(call: &mut Call<'_>) -> Answer {
    let ids: Vec<_> = call.args[2..]
        .iter()
        .map(|text| id(text, 0))
        .collect::<Result<_, _>>()?;
    let gone = stream(call)?.map_or(0, |stream| {
        ids.iter()
            .filter(|id| stream.entries.remove(id).is_some())
            .count()
    });
    call.dirty |= gone > 0;
    Ok(Reply::int(gone))
}
