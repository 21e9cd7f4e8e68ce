//! What can go wrong between the ledger and Redis, told apart by what is known of the outcome.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::ledger::LedgerError;

/// Why Redis did not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Nothing was sent, or the server said that it did nothing: asking again later may help.
    NotDone(String),
    /// Sent, and no answer in time: it may have been done.
    Unknown(String),
    /// Sent, and the connection ended before the answer: it may have been done.
    Lost(String),
    /// The script is not loaded; nothing was done.
    NoScript,
    /// The slot is at another node now, for good (`MOVED`) or for this request (`ASK`); nothing was done.
    Elsewhere {
        /// `host:port`; the host may be empty (the same as before).
        node: String,
        /// Only this once.
        ask: bool,
    },
    /// The slot is being moved and its keys are at two nodes; nothing was done, in a moment they are at one.
    Moving(String),
    /// The server cannot write now, and may not be the one to ask any more; nothing was done.
    NotPrimary(String),
    /// The script failed, before it wrote anything: what it found is not what was written.
    Script(String),
    /// Somebody must change a setting; what is wrong.
    Setup(String),
}

/// Error codes that say: nothing was done, later perhaps.
const LATER: &[&str] = &[
    "LOADING",
    "BUSY",
    "UNKILLABLE",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "MASTERDOWN",
    "CLUSTERDOWN",
];

impl Fault {
    /// Of an error that came as a command's answer, or instead of it. `sent` says whether the command may have reached the server.
    pub(super) fn of(error: &RedisError, sent: bool) -> Fault {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => Fault::NoScript,
            ErrorKind::Server(kind @ (ServerErrorKind::Moved | ServerErrorKind::Ask)) => Fault::Elsewhere {
                node: error
                    .redirect_node()
                    .map_or_else(String::new, |(node, _)| node.to_owned()),
                ask: kind == ServerErrorKind::Ask,
            },
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Fault::NotPrimary(text),
            ErrorKind::Server(ServerErrorKind::NoPerm)
            | ErrorKind::AuthenticationFailed
            | ErrorKind::InvalidClientConfig => Fault::Setup(text),
            ErrorKind::Server(_) | ErrorKind::Extension => {
                Fault::of_answer(error.code().unwrap_or_default(), &text)
            }
            _ if sent => Fault::Lost(text),
            _ => Fault::NotDone(text),
        }
    }

    /// Of an error answer: its code (`OOM`) and its whole text.
    pub(super) fn of_answer(code: &str, text: &str) -> Fault {
        // Redis 6.2 wraps what a command in a script answered: the code is then among the words.
        let says = |known: &str| {
            code == known
                || text
                    .split([' ', ':'])
                    .any(|word| word.trim_start_matches('-') == known)
        };
        if says("READONLY") {
            Fault::NotPrimary(text.to_owned())
        } else if code == "TRYAGAIN" {
            Fault::Moving(text.to_owned())
        } else if LATER.iter().any(|known| says(known)) {
            Fault::NotDone(text.to_owned())
        } else if matches!(code, "NOAUTH" | "WRONGPASS" | "NOPERM")
            || text.contains("this user has no permissions")
        {
            Fault::Setup(text.to_owned())
        } else {
            Fault::Script(text.to_owned())
        }
    }

    /// For the caller; `millis` is how long it was waited.
    pub(super) fn for_caller(self, account: &str, millis: u64) -> LedgerError {
        match self {
            Fault::NotDone(what) | Fault::Moving(what) | Fault::NotPrimary(what) => {
                LedgerError::Unavailable(what)
            }
            Fault::NoScript => {
                LedgerError::Unavailable("Redis forgets the scripts as soon as they are loaded".to_owned())
            }
            Fault::Elsewhere { node, .. } => {
                LedgerError::Unavailable(format!("the cluster sends from node to node, at last to {node}"))
            }
            Fault::Unknown(_) | Fault::Lost(_) => LedgerError::TimedOut(millis),
            Fault::Script(what) => LedgerError::Quarantined {
                account: account.to_owned(),
                what,
            },
            Fault::Setup(what) => LedgerError::Misconfigured(format!(
                "Redis refuses: {what}. Check user, password and permissions in the ledger's url"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b12_each_refusal_of_redis_is_told_apart() {
        for (code, text, not_done) in [
            (
                "OOM",
                "OOM: command not allowed when used memory > 'maxmemory'.",
                true,
            ),
            (
                "MISCONF",
                "MISCONF: Errors writing to the AOF file: No space left on device",
                true,
            ),
            (
                "NOREPLICAS",
                "NOREPLICAS: Not enough good replicas to write.",
                true,
            ),
            ("MASTERDOWN", "MASTERDOWN: Link with MASTER is down", true),
            ("BUSY", "BUSY: Redis is busy running a script.", true),
            (
                "UNKILLABLE",
                "UNKILLABLE: Sorry the script already executed write commands",
                true,
            ),
            (
                "ERR",
                "ERR: Error running script (call to f_1): @user_script:1: -OOM command not allowed",
                true,
            ),
            (
                "WRONGTYPE",
                "WRONGTYPE: Operation against a key holding the wrong kind of value",
                false,
            ),
            (
                "ERR",
                "ERR: user_script:12: attempt to compare nil with number",
                false,
            ),
        ] {
            let fault = Fault::of_answer(code, text);
            assert_eq!(matches!(fault, Fault::NotDone(_)), not_done, "{text}: {fault:?}");
            assert_eq!(fault.for_caller("acme", 1).is_transient(), not_done, "{text}");
        }
        assert!(matches!(
            Fault::of_answer("READONLY", "READONLY: You can't write"),
            Fault::NotPrimary(_)
        ));
        let moving = Fault::of_answer(
            "TRYAGAIN",
            "TRYAGAIN: Multiple keys request during rehashing of slot",
        );
        assert!(matches!(moving, Fault::Moving(_)));
        assert!(moving.for_caller("acme", 1).is_transient());
        let down = Fault::of_answer("CLUSTERDOWN", "CLUSTERDOWN: The cluster is down");
        assert!(matches!(down, Fault::NotDone(_)));
        assert!(matches!(
            Fault::of_answer("NOAUTH", "NOAUTH: Authentication required."),
            Fault::Setup(_)
        ));
    }
}
