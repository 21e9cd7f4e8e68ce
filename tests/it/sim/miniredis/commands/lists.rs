//! Lists.

use std::collections::VecDeque;

use super::{Answer, Call, Reply, Spec, Value, WRONG_TYPE, range, refuse};

const READ: Spec = Spec {
    name: "",
    arity: 2,
    writes: false,
    grows: false,
    noscript: false,
    keys: (1, 1, 1),
    run: llen,
};
const WRITE: Spec = Spec {
    writes: true,
    grows: true,
    ..READ
};

pub(super) const SPECS: &[Spec] = &[
    Spec { name: "llen", ..READ },
    Spec {
        name: "lrange",
        arity: 4,
        run: lrange,
        ..READ
    },
    Spec {
        name: "lindex",
        arity: 3,
        run: lindex,
        ..READ
    },
    Spec {
        name: "rpush",
        arity: -3,
        run: |call| push(call, VecDeque::push_back),
        ..WRITE
    },
    Spec {
        name: "lpush",
        arity: -3,
        run: |call| push(call, VecDeque::push_front),
        ..WRITE
    },
    Spec {
        name: "lpop",
        arity: 2,
        grows: false,
        run: |call| pop(call, VecDeque::pop_front),
        ..WRITE
    },
    Spec {
        name: "rpop",
        arity: 2,
        grows: false,
        run: |call| pop(call, VecDeque::pop_back),
        ..WRITE
    },
];

type Items = VecDeque<Vec<u8>>;

fn items(call: &mut Call<'_>) -> Result<Items, Reply> {
    match call.get(&call.args[1]) {
        None => Ok(Items::new()),
        Some(Value::List(items)) => Ok(items.clone()),
        Some(_) => refuse(WRONG_TYPE),
    }
}

fn llen(call: &mut Call<'_>) -> Answer {
    Ok(Reply::int(items(call)?.len()))
}

fn lrange(call: &mut Call<'_>) -> Answer {
    let (first, last) = (call.int(2)?, call.int(3)?);
    let items = items(call)?;
    Ok(Reply::bulks(items.range(range(first, last, items.len()))))
}

fn lindex(call: &mut Call<'_>) -> Answer {
    let items = items(call)?;
    let at = call.int(2)?;
    let from_end = at + i64::try_from(items.len()).expect("a length");
    let place = usize::try_from(if at < 0 { from_end } else { at }).ok();
    Ok(Reply::maybe(place.and_then(|at| items.get(at))))
}

fn push(call: &mut Call<'_>, push: fn(&mut Items, Vec<u8>)) -> Answer {
    let mut items = items(call)?;
    call.args[2..]
        .iter()
        .for_each(|item| push(&mut items, item.clone()));
    let len = items.len();
    call.put(&call.args[1], Value::List(items));
    Ok(Reply::int(len))
}

fn pop(call: &mut Call<'_>, pop: fn(&mut Items) -> Option<Vec<u8>>) -> Answer {
    let mut items = items(call)?;
    let item = pop(&mut items);
    if item.is_some() {
        call.put(&call.args[1], Value::List(items));
        call.changed(&call.args[1]);
    }
    Ok(Reply::maybe(item.as_ref()))
}
