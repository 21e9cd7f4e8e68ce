//! Strings.

use super::{Answer, Call, NOT_AN_INTEGER, Reply, SYNTAX, Spec, Value, WRONG_TYPE, integer, range, refuse};

const READ: Spec = Spec {
    name: "",
    arity: 2,
    writes: false,
    grows: false,
    noscript: false,
    keys: (1, 1, 1),
    run: get,
};
const WRITE: Spec = Spec {
    writes: true,
    grows: true,
    ..READ
};

pub(super) const SPECS: &[Spec] = &[
    Spec { name: "get", ..READ },
    Spec {
        name: "mget",
        arity: -2,
        keys: (1, -1, 1),
        run: mget,
        ..READ
    },
    Spec {
        name: "strlen",
        run: strlen,
        ..READ
    },
    Spec {
        name: "getrange",
        arity: 4,
        run: getrange,
        ..READ
    },
    Spec {
        name: "set",
        arity: -3,
        run: set,
        ..WRITE
    },
    Spec {
        name: "setnx",
        arity: 3,
        run: setnx,
        ..WRITE
    },
    Spec {
        name: "mset",
        arity: -3,
        keys: (1, -1, 2),
        run: mset,
        ..WRITE
    },
    Spec {
        name: "append",
        arity: 3,
        run: append,
        ..WRITE
    },
    Spec {
        name: "incr",
        run: |call| add(call, 1),
        ..WRITE
    },
    Spec {
        name: "decr",
        run: |call| add(call, -1),
        ..WRITE
    },
    Spec {
        name: "incrby",
        arity: 3,
        run: |call| call.int(2).and_then(|by| add(call, by)),
        ..WRITE
    },
    Spec {
        name: "decrby",
        arity: 3,
        run: decrby,
        ..WRITE
    },
];

fn text(call: &mut Call<'_>, key: &[u8]) -> Result<Option<Vec<u8>>, Reply> {
    match call.get(key) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(_) => refuse(WRONG_TYPE),
    }
}

fn get(call: &mut Call<'_>) -> Answer {
    Ok(Reply::maybe(text(call, &call.args[1])?.as_ref()))
}

fn mget(call: &mut Call<'_>) -> Answer {
    let keys = &call.args[1..];
    let one = |key: &Vec<u8>| match call.get(key) {
        Some(Value::Text(text)) => Reply::bulk(text),
        _ => Reply::Nil,
    };
    Ok(Reply::Array(keys.iter().map(one).collect()))
}

fn strlen(call: &mut Call<'_>) -> Answer {
    Ok(Reply::int(text(call, &call.args[1])?.map_or(0, |t| t.len())))
}

fn getrange(call: &mut Call<'_>) -> Answer {
    let (first, last) = (call.int(2)?, call.int(3)?);
    let text = text(call, &call.args[1])?.unwrap_or_default();
    if first < 0 && last < 0 && first > last {
        return Ok(Reply::bulk(""));
    }
    // Unlike other ranges, one that ends before the beginning ends there.
    let len = i64::try_from(text.len()).expect("a length");
    let last = if last < 0 { (last + len).max(0) } else { last };
    Ok(Reply::bulk(&text[range(first, last, text.len())]))
}

/// What `SET` is told beside key and value.
#[derive(Default)]
struct Options {
    only_new: bool,
    only_old: bool,
    keep_ttl: bool,
    tell_old: bool,
    /// In milliseconds since the epoch.
    until: Option<i64>,
}

fn options(call: &Call<'_>) -> Result<Options, Reply> {
    let mut options = Options::default();
    let now = call.core.now() / 1_000;
    let mut at = 3;
    while at < call.args.len() {
        let word = call.word(at);
        match word.as_slice() {
            b"NX" if !options.only_old => options.only_new = true,
            b"XX" if !options.only_new => options.only_old = true,
            b"GET" => options.tell_old = true,
            b"KEEPTTL" if options.until.is_none() => options.keep_ttl = true,
            b"EX" | b"PX" | b"EXAT" | b"PXAT" if options.until.is_none() && !options.keep_ttl => {
                at += 1;
                if at >= call.args.len() {
                    return refuse(SYNTAX);
                }
                let n = call.int(at)?;
                if n <= 0 {
                    return refuse("ERR invalid expire time in 'set' command");
                }
                let millis = if word.starts_with(b"E") { n * 1_000 } else { n };
                let relative = !word.ends_with(b"AT");
                options.until = Some(if relative { now + millis } else { millis });
            }
            _ => return refuse(SYNTAX),
        }
        at += 1;
    }
    Ok(options)
}

fn set(call: &mut Call<'_>) -> Answer {
    let options = options(call)?;
    let [_, key, value, ..] = call.args else {
        unreachable!()
    };
    let there = call.get(key).is_some();
    let old = if options.tell_old { text(call, key)? } else { None };
    let answer = |done| match (options.tell_old, done) {
        (true, _) => Reply::maybe(old.as_ref()),
        (false, true) => Reply::ok(),
        (false, false) => Reply::Nil,
    };
    if options.only_new && there || options.only_old && !there {
        return Ok(answer(false));
    }
    call.put(key, Value::Text(value.clone()));
    let mut written = vec![b"SET".to_vec(), key.clone(), value.clone()];
    if let Some(until) = options.until {
        call.db().expires.insert(key.clone(), until);
        written.extend([b"PXAT".to_vec(), until.to_string().into_bytes()]);
    } else if options.keep_ttl {
        written.push(b"KEEPTTL".to_vec());
    } else {
        call.db().expires.remove(key);
    }
    call.as_written = Some(written);
    Ok(answer(true))
}

fn setnx(call: &mut Call<'_>) -> Answer {
    let [_, key, value] = call.args else {
        unreachable!()
    };
    if call.get(key).is_some() {
        return Ok(Reply::Int(0));
    }
    call.put(key, Value::Text(value.clone()));
    Ok(Reply::Int(1))
}

fn mset(call: &mut Call<'_>) -> Answer {
    let (pairs, rest) = call.args[1..].as_chunks::<2>();
    if !rest.is_empty() {
        return refuse("ERR wrong number of arguments for 'mset' command");
    }
    for [key, value] in pairs {
        call.db().expires.remove(key);
        call.put(key, Value::Text(value.clone()));
    }
    Ok(Reply::ok())
}

fn append(call: &mut Call<'_>) -> Answer {
    let [_, key, more] = call.args else { unreachable!() };
    let mut text = text(call, key)?.unwrap_or_default();
    text.extend(more);
    let len = text.len();
    call.put(key, Value::Text(text));
    Ok(Reply::int(len))
}

fn decrby(call: &mut Call<'_>) -> Answer {
    match call.int(2)?.checked_neg() {
        Some(by) => add(call, by),
        None => refuse("ERR decrement would overflow"),
    }
}

fn add(call: &mut Call<'_>, by: i64) -> Answer {
    let key = &call.args[1];
    let old = match text(call, key)? {
        None => 0,
        Some(text) => integer(&text).ok_or_else(|| Reply::error(NOT_AN_INTEGER))?,
    };
    let Some(new) = old.checked_add(by) else {
        return refuse("ERR increment or decrement would overflow");
    };
    call.put(key, Value::Text(new.to_string().into_bytes()));
    Ok(Reply::Int(new))
}
