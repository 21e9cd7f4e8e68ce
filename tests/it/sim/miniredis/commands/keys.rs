//! Keys of whatever kind.

use super::{Answer, Call, Reply, SYNTAX, Spec, refuse};

const READ: Spec = Spec {
    name: "",
    arity: 2,
    writes: false,
    grows: false,
    noscript: false,
    keys: (1, 1, 1),
    run: kind,
};
const WRITE: Spec = Spec { writes: true, ..READ };

pub(super) const SPECS: &[Spec] = &[
    Spec { name: "type", ..READ },
    Spec {
        name: "exists",
        arity: -2,
        keys: (1, -1, 1),
        run: exists,
        ..READ
    },
    Spec {
        name: "ttl",
        run: |call| left(call, 1_000),
        ..READ
    },
    Spec {
        name: "pttl",
        run: |call| left(call, 1),
        ..READ
    },
    Spec {
        name: "dbsize",
        arity: 1,
        keys: (0, 0, 0),
        run: dbsize,
        ..READ
    },
    Spec {
        name: "scan",
        arity: -2,
        keys: (0, 0, 0),
        run: scan,
        ..READ
    },
    Spec {
        name: "del",
        arity: -2,
        keys: (1, -1, 1),
        run: del,
        ..WRITE
    },
    Spec {
        name: "unlink",
        arity: -2,
        keys: (1, -1, 1),
        run: del,
        ..WRITE
    },
    Spec {
        name: "expire",
        arity: 3,
        run: |call| expire(call, 1_000, true),
        ..WRITE
    },
    Spec {
        name: "pexpire",
        arity: 3,
        run: |call| expire(call, 1, true),
        ..WRITE
    },
    Spec {
        name: "pexpireat",
        arity: 3,
        run: |call| expire(call, 1, false),
        ..WRITE
    },
    Spec {
        name: "persist",
        run: persist,
        ..WRITE
    },
    Spec {
        name: "flushall",
        arity: -1,
        keys: (0, 0, 0),
        run: flushall,
        ..WRITE
    },
    Spec {
        name: "flushdb",
        arity: -1,
        keys: (0, 0, 0),
        run: flushdb,
        ..WRITE
    },
];

fn kind(call: &mut Call<'_>) -> Answer {
    let kind = call.get(&call.args[1]).map_or("none", |value| value.kind());
    Ok(Reply::Status(kind.to_owned()))
}

fn exists(call: &mut Call<'_>) -> Answer {
    let keys = &call.args[1..];
    Ok(Reply::int(
        keys.iter().filter(|key| call.get(key).is_some()).count(),
    ))
}

fn left(call: &mut Call<'_>, unit: i64) -> Answer {
    let key = &call.args[1];
    if call.get(key).is_none() {
        return Ok(Reply::Int(-2));
    }
    let now = call.core.now() / 1_000;
    let until = call.db().expires.get(key).copied();
    // Seconds are rounded to the nearest.
    Ok(Reply::Int(
        until.map_or(-1, |until| (until - now + unit / 2) / unit),
    ))
}

fn dbsize(call: &mut Call<'_>) -> Answer {
    Ok(Reply::int(call.db().values.len()))
}

/// All in one page.
fn scan(call: &mut Call<'_>) -> Answer {
    if call.args.len() > 2 && call.word(2) != b"COUNT" {
        return refuse(SYNTAX);
    }
    let keys = Reply::bulks(call.db().values.keys());
    Ok(Reply::Array(vec![Reply::bulk("0"), keys]))
}

fn del(call: &mut Call<'_>) -> Answer {
    let keys = &call.args[1..];
    Ok(Reply::int(keys.iter().filter(|key| call.remove(key)).count()))
}

fn expire(call: &mut Call<'_>, unit: i64, relative: bool) -> Answer {
    let key = &call.args[1];
    let now = if relative { call.core.now() / 1_000 } else { 0 };
    let until = now + call.int(2)? * unit;
    if call.get(key).is_none() {
        return Ok(Reply::Int(0));
    }
    call.dirty = true;
    call.db().expires.insert(key.clone(), until);
    call.as_written = Some(vec![
        b"PEXPIREAT".to_vec(),
        key.clone(),
        until.to_string().into_bytes(),
    ]);
    Ok(Reply::Int(1))
}

fn persist(call: &mut Call<'_>) -> Answer {
    let key = &call.args[1];
    let had = call.db().expires.remove(key).is_some();
    call.dirty |= had;
    Ok(Reply::Int(i64::from(had)))
}

fn flushall(call: &mut Call<'_>) -> Answer {
    call.core.dbs.clear();
    call.dirty = true;
    Ok(Reply::ok())
}

fn flushdb(call: &mut Call<'_>) -> Answer {
    *call.db() = Default::default();
    call.dirty = true;
    Ok(Reply::ok())
}
