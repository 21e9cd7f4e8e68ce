//! Hashes.

use super::{Answer, Call, Reply, SYNTAX, Spec, Value, WRONG_TYPE, integer, refuse};
use crate::sim::miniredis::keyspace::Fields;

const READ: Spec = Spec {
    name: "",
    arity: 2,
    writes: false,
    grows: false,
    noscript: false,
    keys: (1, 1, 1),
    run: hlen,
};
const WRITE: Spec = Spec {
    writes: true,
    grows: true,
    ..READ
};

pub(super) const SPECS: &[Spec] = &[
    Spec { name: "hlen", ..READ },
    Spec {
        name: "hget",
        arity: 3,
        run: hget,
        ..READ
    },
    Spec {
        name: "hexists",
        arity: 3,
        run: hexists,
        ..READ
    },
    Spec {
        name: "hstrlen",
        arity: 3,
        run: hstrlen,
        ..READ
    },
    Spec {
        name: "hmget",
        arity: -3,
        run: hmget,
        ..READ
    },
    Spec {
        name: "hgetall",
        run: hgetall,
        ..READ
    },
    Spec {
        name: "hkeys",
        run: hkeys,
        ..READ
    },
    Spec {
        name: "hvals",
        run: hvals,
        ..READ
    },
    Spec {
        name: "hscan",
        arity: -3,
        run: hscan,
        ..READ
    },
    Spec {
        name: "hset",
        arity: -4,
        run: hset,
        ..WRITE
    },
    Spec {
        name: "hmset",
        arity: -4,
        run: hmset,
        ..WRITE
    },
    Spec {
        name: "hsetnx",
        arity: 4,
        run: hsetnx,
        ..WRITE
    },
    Spec {
        name: "hincrby",
        arity: 4,
        run: hincrby,
        ..WRITE
    },
    Spec {
        name: "hdel",
        arity: -3,
        grows: false,
        run: hdel,
        ..WRITE
    },
];

/// The hash of the command's key; an empty one where there is none.
fn fields(call: &mut Call<'_>) -> Result<Fields, Reply> {
    match call.get(&call.args[1]) {
        None => Ok(Fields::default()),
        Some(Value::Hash(fields)) => Ok(fields.clone()),
        Some(_) => refuse(WRONG_TYPE),
    }
}

/// The same to be written to.
fn own<'a>(call: &'a mut Call<'_>) -> Result<&'a mut Fields, Reply> {
    let key = call.args[1].clone();
    let value = call
        .db()
        .values
        .entry(key)
        .or_insert_with(|| Value::Hash(Fields::default()));
    match value {
        Value::Hash(fields) => Ok(fields),
        _ => refuse(WRONG_TYPE),
    }
}

fn hlen(call: &mut Call<'_>) -> Answer {
    Ok(Reply::int(fields(call)?.len()))
}

fn hget(call: &mut Call<'_>) -> Answer {
    Ok(Reply::maybe(fields(call)?.get(&call.args[2])))
}

fn hexists(call: &mut Call<'_>) -> Answer {
    Ok(Reply::Int(i64::from(fields(call)?.get(&call.args[2]).is_some())))
}

fn hstrlen(call: &mut Call<'_>) -> Answer {
    Ok(Reply::int(fields(call)?.get(&call.args[2]).map_or(0, Vec::len)))
}

fn hmget(call: &mut Call<'_>) -> Answer {
    let fields = fields(call)?;
    let wanted = call.args[2..].iter();
    Ok(Reply::Array(
        wanted.map(|field| Reply::maybe(fields.get(field))).collect(),
    ))
}

fn hgetall(call: &mut Call<'_>) -> Answer {
    Ok(Reply::bulks(
        fields(call)?.iter().flat_map(|(field, value)| [field, value]),
    ))
}

fn hkeys(call: &mut Call<'_>) -> Answer {
    Ok(Reply::bulks(fields(call)?.iter().map(|(field, _)| field)))
}

fn hvals(call: &mut Call<'_>) -> Answer {
    Ok(Reply::bulks(fields(call)?.iter().map(|(_, value)| value)))
}

/// All in one page.
fn hscan(call: &mut Call<'_>) -> Answer {
    if integer(&call.args[2]).is_none() {
        return refuse("ERR invalid cursor");
    }
    if call.args.len() > 3 && call.word(3) != b"COUNT" {
        return refuse(SYNTAX);
    }
    Ok(Reply::Array(vec![Reply::bulk("0"), hgetall(call)?]))
}

fn put_all(call: &mut Call<'_>, name: &str) -> Result<usize, Reply> {
    let (pairs, rest) = call.args[2..].as_chunks::<2>();
    if !rest.is_empty() {
        return refuse(&format!("ERR wrong number of arguments for '{name}' command"));
    }
    let fields = own(call)?;
    let new = pairs
        .iter()
        .filter(|[field, value]| fields.set(field, value))
        .count();
    call.dirty = true;
    Ok(new)
}

fn hset(call: &mut Call<'_>) -> Answer {
    put_all(call, "hset").map(Reply::int)
}

fn hmset(call: &mut Call<'_>) -> Answer {
    put_all(call, "hmset").map(|_| Reply::ok())
}

fn hsetnx(call: &mut Call<'_>) -> Answer {
    if fields(call)?.get(&call.args[2]).is_some() {
        return Ok(Reply::Int(0));
    }
    let [_, _, field, value] = call.args else {
        unreachable!()
    };
    own(call)?.set(field, value);
    call.dirty = true;
    Ok(Reply::Int(1))
}

fn hincrby(call: &mut Call<'_>) -> Answer {
    let by = call.int(3)?;
    let field = &call.args[2];
    let old = match fields(call)?.get(field) {
        None => 0,
        Some(text) => integer(text).ok_or_else(|| Reply::error("ERR hash value is not an integer"))?,
    };
    let Some(new) = old.checked_add(by) else {
        return refuse("ERR increment or decrement would overflow");
    };
    own(call)?.set(field, new.to_string().as_bytes());
    call.dirty = true;
    Ok(Reply::Int(new))
}

fn hdel(call: &mut Call<'_>) -> Answer {
    if fields(call)?.len() == 0 {
        return Ok(Reply::Int(0));
    }
    let (key, gone) = (call.args[1].clone(), &call.args[2..]);
    let own = own(call)?;
    let gone = gone.iter().filter(|field| own.remove(field)).count();
    if gone > 0 {
        call.changed(&key);
    }
    Ok(Reply::int(gone))
}
