//! Sets and sorted sets.

use std::collections::BTreeSet;

use super::{Answer, Call, Reply, SYNTAX, Spec, Value, WRONG_TYPE, range, refuse};
use crate::sim::miniredis::keyspace::Sorted;

const READ: Spec = Spec {
    name: "",
    arity: 2,
    writes: false,
    grows: false,
    noscript: false,
    keys: (1, 1, 1),
    run: scard,
};
const WRITE: Spec = Spec {
    writes: true,
    grows: true,
    ..READ
};

pub(super) const SPECS: &[Spec] = &[
    Spec {
        name: "scard",
        ..READ
    },
    Spec {
        name: "sismember",
        arity: 3,
        run: sismember,
        ..READ
    },
    Spec {
        name: "smembers",
        run: smembers,
        ..READ
    },
    Spec {
        name: "sscan",
        arity: -3,
        run: sscan,
        ..READ
    },
    Spec {
        name: "sadd",
        arity: -3,
        run: sadd,
        ..WRITE
    },
    Spec {
        name: "srem",
        arity: -3,
        grows: false,
        run: srem,
        ..WRITE
    },
    Spec {
        name: "zcard",
        run: zcard,
        ..READ
    },
    Spec {
        name: "zscore",
        arity: 3,
        run: zscore,
        ..READ
    },
    Spec {
        name: "zrange",
        arity: -4,
        run: zrange,
        ..READ
    },
    Spec {
        name: "zrangebyscore",
        arity: -4,
        run: zrangebyscore,
        ..READ
    },
    Spec {
        name: "zadd",
        arity: -4,
        run: zadd,
        ..WRITE
    },
    Spec {
        name: "zrem",
        arity: -3,
        grows: false,
        run: zrem,
        ..WRITE
    },
];

fn members(call: &mut Call<'_>) -> Result<BTreeSet<Vec<u8>>, Reply> {
    match call.get(&call.args[1]) {
        None => Ok(BTreeSet::new()),
        Some(Value::Set(members)) => Ok(members.clone()),
        Some(_) => refuse(WRONG_TYPE),
    }
}

fn scard(call: &mut Call<'_>) -> Answer {
    Ok(Reply::int(members(call)?.len()))
}

fn sismember(call: &mut Call<'_>) -> Answer {
    Ok(Reply::Int(i64::from(members(call)?.contains(&call.args[2]))))
}

fn smembers(call: &mut Call<'_>) -> Answer {
    Ok(Reply::bulks(members(call)?))
}

/// All in one page.
fn sscan(call: &mut Call<'_>) -> Answer {
    if call.args.len() > 3 && call.word(3) != b"COUNT" {
        return refuse(SYNTAX);
    }
    Ok(Reply::Array(vec![Reply::bulk("0"), smembers(call)?]))
}

fn sadd(call: &mut Call<'_>) -> Answer {
    let mut members = members(call)?;
    let new = call.args[2..]
        .iter()
        .filter(|m| members.insert((*m).clone()))
        .count();
    if new > 0 {
        call.put(&call.args[1], Value::Set(members));
    }
    Ok(Reply::int(new))
}

fn srem(call: &mut Call<'_>) -> Answer {
    let mut members = members(call)?;
    let gone = call.args[2..].iter().filter(|m| members.remove(*m)).count();
    if gone > 0 {
        call.put(&call.args[1], Value::Set(members));
        call.changed(&call.args[1]);
    }
    Ok(Reply::int(gone))
}

fn sorted(call: &mut Call<'_>) -> Result<Sorted, Reply> {
    match call.get(&call.args[1]) {
        None => Ok(Sorted::default()),
        Some(Value::Sorted(members)) => Ok(members.clone()),
        Some(_) => refuse(WRONG_TYPE),
    }
}

fn score(text: &[u8]) -> Result<f64, Reply> {
    let number = std::str::from_utf8(text).ok().and_then(|t| t.parse::<f64>().ok());
    number
        .filter(|n| !n.is_nan())
        .ok_or_else(|| Reply::error("ERR value is not a valid float"))
}

fn zcard(call: &mut Call<'_>) -> Answer {
    Ok(Reply::int(sorted(call)?.scores.len()))
}

fn zscore(call: &mut Call<'_>) -> Answer {
    let score = sorted(call)?.scores.get(&call.args[2]).copied();
    Ok(score.map_or(Reply::Nil, |score| Reply::bulk(score.to_string())))
}

fn zrange(call: &mut Call<'_>) -> Answer {
    if call.args.len() > 4 {
        return refuse(SYNTAX);
    }
    let (first, last) = (call.int(2)?, call.int(3)?);
    let members = sorted(call)?;
    let all = members.in_order();
    Ok(Reply::bulks(
        all[range(first, last, all.len())].iter().map(|(m, _)| m),
    ))
}

fn zrangebyscore(call: &mut Call<'_>) -> Answer {
    let bound = |text: &[u8]| match text.strip_prefix(b"(") {
        Some(rest) => score(rest).map(|n| (n, true)),
        None => score(text).map(|n| (n, false)),
    };
    let not_a_float = |_| Reply::error("ERR min or max is not a float");
    let (min, above) = bound(&call.args[2]).map_err(not_a_float)?;
    let (max, below) = bound(&call.args[3]).map_err(not_a_float)?;
    let (skip, most) = match call.args.len() {
        4 => (0, -1),
        7 if call.word(4) == b"LIMIT" => (call.int(5)?, call.int(6)?),
        _ => return refuse(SYNTAX),
    };
    let members = sorted(call)?;
    let within =
        |score: f64| (score > min || score == min && !above) && (score < max || score == max && !below);
    let found = members.in_order().into_iter().filter(|(_, score)| within(*score));
    let found = found.skip(usize::try_from(skip).unwrap_or(usize::MAX));
    let found = found.take(usize::try_from(most).unwrap_or(usize::MAX));
    Ok(Reply::bulks(found.map(|(member, _)| member)))
}

/// Without options.
fn zadd(call: &mut Call<'_>) -> Answer {
    let (pairs, rest) = call.args[2..].as_chunks::<2>();
    if !rest.is_empty() {
        return refuse(SYNTAX);
    }
    let read = |[text, member]: &[Vec<u8>; 2]| score(text).map(|score| (member.clone(), score));
    let pairs = pairs.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let mut members = sorted(call)?;
    let before = members.scores.len();
    members.scores.extend(pairs);
    let new = members.scores.len() - before;
    call.put(&call.args[1], Value::Sorted(members));
    Ok(Reply::int(new))
}

fn zrem(call: &mut Call<'_>) -> Answer {
    let mut members = sorted(call)?;
    let gone = call.args[2..]
        .iter()
        .filter(|m| members.scores.remove(*m).is_some())
        .count();
    if gone > 0 {
        call.put(&call.args[1], Value::Sorted(members));
        call.changed(&call.args[1]);
    }
    Ok(Reply::int(gone))
}
