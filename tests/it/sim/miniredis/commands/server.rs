//! About the server and the connection.

use std::collections::BTreeMap;

use super::{Answer, Call, Reply, SYNTAX, Spec, VERSION, refuse};
use crate::sim::miniredis::disk::Fsync;
use crate::sim::rng::Rng;

const PLAIN: Spec = Spec {
    name: "",
    arity: -1,
    writes: false,
    grows: false,
    noscript: false,
    keys: (0, 0, 0),
    run: ping,
};
/// Done elsewhere; here for their numbers of words.
const NOT_HERE: Spec = Spec {
    noscript: true,
    run: |_| refuse("ERR not a command of the keyspace"),
    ..PLAIN
};

pub(super) const SPECS: &[Spec] = &[
    Spec {
        name: "ping",
        ..PLAIN
    },
    Spec {
        name: "echo",
        arity: 2,
        run: |call| Ok(Reply::bulk(&call.args[1])),
        ..PLAIN
    },
    Spec {
        name: "time",
        arity: 1,
        run: time,
        ..PLAIN
    },
    Spec {
        name: "info",
        run: info,
        ..PLAIN
    },
    Spec {
        name: "config",
        arity: -2,
        noscript: true,
        run: config,
        ..PLAIN
    },
    Spec {
        name: "client",
        arity: -2,
        noscript: true,
        run: client,
        ..PLAIN
    },
    Spec {
        name: "hello",
        noscript: true,
        run: hello,
        ..PLAIN
    },
    Spec {
        name: "auth",
        arity: -2,
        noscript: true,
        run: auth,
        ..PLAIN
    },
    Spec {
        name: "select",
        arity: 2,
        run: select,
        ..PLAIN
    },
    Spec {
        name: "cluster",
        arity: -2,
        run: |_| refuse("ERR This instance has cluster support disabled"),
        ..PLAIN
    },
    Spec {
        name: "asking",
        arity: 1,
        run: |_| refuse("ERR This instance has cluster support disabled"),
        ..PLAIN
    },
    Spec {
        name: "wait",
        arity: 3,
        noscript: true,
        run: |_| Ok(Reply::Int(0)),
        ..PLAIN
    },
    Spec {
        name: "eval",
        arity: -3,
        ..NOT_HERE
    },
    Spec {
        name: "evalsha",
        arity: -3,
        ..NOT_HERE
    },
    Spec {
        name: "eval_ro",
        arity: -3,
        ..NOT_HERE
    },
    Spec {
        name: "evalsha_ro",
        arity: -3,
        ..NOT_HERE
    },
    Spec {
        name: "script",
        arity: -2,
        ..NOT_HERE
    },
];

/// The settings that are looked at.
pub(super) fn defaults(fsync: Fsync) -> BTreeMap<String, String> {
    let settings = [
        ("maxmemory-policy", "noeviction"),
        ("maxmemory", "0"),
        ("appendonly", "yes"),
        ("appendfsync", fsync.name()),
        ("save", ""),
    ];
    settings
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Forty hexadecimal digits, others at each start.
pub(super) fn run_id(now: i64) -> String {
    let mut rng = Rng::new(now.unsigned_abs());
    (0..40)
        .map(|_| char::from(b"0123456789abcdef"[rng.index(16)]))
        .collect()
}

fn ping(call: &mut Call<'_>) -> Answer {
    match call.args {
        [_] => Ok(Reply::Status("PONG".to_owned())),
        [_, text] => Ok(Reply::bulk(text)),
        _ => refuse("ERR wrong number of arguments for 'ping' command"),
    }
}

fn time(call: &mut Call<'_>) -> Answer {
    let now = call.core.now();
    Ok(Reply::bulks([
        (now / 1_000_000).to_string(),
        (now % 1_000_000).to_string(),
    ]))
}

fn info(call: &mut Call<'_>) -> Answer {
    let core = &call.core;
    let loading = u8::from(core.condition == Some(super::Condition::Loading));
    let role = if core.condition == Some(super::Condition::ReadOnly) {
        "slave"
    } else {
        "master"
    };
    let text = format!(
        "# Server\r\nredis_version:{VERSION}\r\nrun_id:{id}\r\ntcp_port:6379\r\n\r\n# Persistence\r\nloading:{loading}\r\naof_enabled:1\r\n\r\n\
         # Replication\r\nrole:{role}\r\nconnected_slaves:0\r\nmaster_replid:{id}\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n",
        id = core.run_id,
    );
    Ok(Reply::bulk(text))
}

fn config(call: &mut Call<'_>) -> Answer {
    let setting = |at: usize| String::from_utf8_lossy(&call.args[at]).to_ascii_lowercase();
    match (call.word(1).as_slice(), call.args.len()) {
        (b"GET", 3) => {
            let name = setting(2);
            let value = call.core.config.get(&name).cloned();
            Ok(Reply::bulks(
                value.into_iter().flat_map(|value| [name.clone(), value]),
            ))
        }
        (b"SET", 4) => {
            let (name, value) = (setting(2), String::from_utf8_lossy(&call.args[3]).into_owned());
            call.core.config.insert(name, value);
            Ok(Reply::ok())
        }
        _ => refuse(SYNTAX),
    }
}

fn client(call: &mut Call<'_>) -> Answer {
    match call.word(1).as_slice() {
        b"SETNAME" if call.args.len() == 3 => {
            call.session.name = call.args[2].clone();
            Ok(Reply::ok())
        }
        b"GETNAME" => Ok(if call.session.name.is_empty() {
            Reply::Nil
        } else {
            Reply::bulk(&call.session.name)
        }),
        b"ID" => Ok(Reply::Int(1)),
        _ => {
            let name = String::from_utf8_lossy(&call.args[1]);
            refuse(&format!(
                "ERR Unknown subcommand or wrong number of arguments for '{name}'. Try CLIENT HELP."
            ))
        }
    }
}

fn hello(call: &mut Call<'_>) -> Answer {
    match call.args {
        [_] => {}
        [_, version] if version == b"2" => {}
        _ => return refuse("NOPROTO unsupported protocol version"),
    }
    let field = |name, value| [Reply::bulk(name), value];
    Ok(Reply::Array(
        [
            field("server", Reply::bulk("redis")),
            field("version", Reply::bulk(VERSION)),
            field("proto", Reply::Int(2)),
            field("id", Reply::Int(1)),
            field("mode", Reply::bulk("standalone")),
            field("role", Reply::bulk("master")),
            field("modules", Reply::Array(Vec::new())),
        ]
        .concat(),
    ))
}

fn auth(_: &mut Call<'_>) -> Answer {
    refuse(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
    )
}

fn select(call: &mut Call<'_>) -> Answer {
    let index = call.int(1)?;
    let db = usize::try_from(index).ok().filter(|db| *db < 16);
    call.session.db = db.ok_or_else(|| Reply::error("ERR DB index is out of range"))?;
    Ok(Reply::ok())
}
