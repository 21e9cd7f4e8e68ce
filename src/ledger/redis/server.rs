//! What servers say of themselves while they serve: how full they are (B11), and whether anything in them has a time to live (B18).

use redis::Value;

use super::fault::Fault;
use super::keys::{Keys, META};
use super::node::Node;
use super::script::Script;
use super::{LedgerError, RedisLedger};
use crate::domain::ids::AccountId;
use crate::ledger::Memory;

/// Accounts whose records are looked at when something in the database has a time to live.
const ACCOUNTS: usize = 100;

/// The most records that are named.
const NAMED: usize = 10;

/// A part of what a server tells of itself; a server that tells nothing to this user tells an empty text.
pub(super) async fn info(node: &Node, section: &str) -> Result<String, Fault> {
    match node.ask(redis::cmd("INFO").arg(section), false).await {
        Ok(Value::BulkString(text)) => Ok(String::from_utf8_lossy(&text).into_owned()),
        Ok(_) | Err(Fault::Script(_) | Fault::Setup(_)) => Ok(String::new()),
        Err(fault) => Err(fault),
    }
}

/// The value of a line `name:value`.
pub(super) fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// How full a server says that it is.
fn memory(text: &str) -> Option<Memory> {
    let bytes = |name| field(text, name)?.parse().ok();
    Some(Memory {
        used: bytes("used_memory")?,
        max: bytes("maxmemory").unwrap_or(0),
    })
}

/// How many records of a database have a time to live, as a server tells.
fn mortal(text: &str, database: i64) -> u64 {
    let line = field(text, &format!("db{database}")).unwrap_or_default();
    let count = line.split(',').find_map(|part| part.strip_prefix("expires="));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

impl RedisLedger {
    /// The fullest server. One that is away is not asked.
    pub(super) async fn read_memory(&self) -> Result<Option<Memory>, LedgerError> {
        let mut fullest: Option<Memory> = None;
        let mut failed = None;
        for (node, _) in self.router.shards() {
            match info(&node, "memory").await {
                Ok(text) => {
                    let found = memory(&text);
                    fullest = fullest.into_iter().chain(found).max_by(Memory::by_fullness);
                }
                Err(fault) => failed = Some(fault.for_caller("", 0)),
            }
        }
        match (fullest, failed) {
            (None, Some(error)) => Err(error),
            (fullest, _) => Ok(fullest),
        }
    }

    /// B18: refuses a store whose records Redis will forget by itself. That nothing in the database has a time to live Redis says in one line; otherwise
    /// the store's own records and those of some accounts are looked at, and what cannot be excluded is told.
    ///
    /// Errors: [`LedgerError::Misconfigured`] when a record of the ledger's has a time to live.
    pub async fn check_lives(&self) -> Result<(), LedgerError> {
        let mut mortals = 0;
        for (node, _) in self.router.shards() {
            let database = node.link.endpoint.login.db();
            // One that is away cannot be asked; the others serve without it.
            if let Ok(text) = info(&node, "keyspace").await {
                mortals += mortal(&text, database);
            }
        }
        if mortals == 0 {
            return Ok(());
        }
        let named = self.mortal_records().await?;
        if named.is_empty() {
            tracing::warn!(
                "{mortals} records in the ledger's Redis database have a time to live. None of those looked at is the ledger's: `faregate ledger verify` looks at all. Give the ledger a database of its own"
            );
            return Ok(());
        }
        Err(LedgerError::Misconfigured(format!(
            "Redis will forget records of the ledger, for somebody gave them a time to live (EXPIRE): {}. Take it back from each (PERSIST, in redis-cli), then let `faregate ledger verify` look at all",
            named.join(", ")
        )))
    }

    /// Some of the ledger's records that have a time to live.
    async fn mortal_records(&self) -> Result<Vec<String>, LedgerError> {
        let mut mortal = Vec::new();
        if self.is_mortal(None, META).await? {
            mortal.push(META.to_owned());
        }
        for n in 0..self.partitions {
            for name in self.some_records(Keys(n)).await? {
                if mortal.len() < NAMED && self.is_mortal(Some(n), &name).await? {
                    mortal.push(name);
                }
            }
        }
        Ok(mortal)
    }

    /// A partition's own records, and those of its first accounts.
    async fn some_records(&self, keys: Keys) -> Result<Vec<String>, LedgerError> {
        let last = ACCOUNTS.div_ceil(self.partitions.max(1) as usize) - 1;
        let args = [b"0".to_vec(), last.to_string().into_bytes()];
        let list = [keys.accounts().into_bytes()];
        let accounts = match self.find(Script::Accounts, keys, &list, &args).await {
            Ok(found) => found,
            Err(error) if error.is_transient() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let ids = accounts.texts().filter_map(|id| std::str::from_utf8(id).ok());
        let of_accounts = ids.filter_map(|id| AccountId::new(id).ok()).flat_map(|id| {
            [
                keys.account(&id),
                keys.grants(&id),
                keys.settings(&id),
                keys.ended(&id),
                keys.days(&id),
                keys.adjusted(&id),
            ]
        });
        let own = [
            keys.part(),
            keys.journal(),
            keys.accounts(),
            keys.open_holds(),
            keys.swept(),
        ];
        Ok(own.into_iter().chain(of_accounts).collect())
    }

    async fn is_mortal(&self, partition: Option<u32>, name: &str) -> Result<bool, LedgerError> {
        match self.router.ask(partition, redis::cmd("PTTL").arg(name)).await {
            Ok(left) => Ok(matches!(left, Value::Int(0..))),
            Err(fault) => match fault.for_caller("", self.millis()) {
                error if error.is_transient() => Ok(false),
                error => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_tells_is_read_and_what_it_does_not_tell_is_none() {
        let text = "# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\nmaxmemory:2097152\r\nmaxmemory_policy:noeviction\r\n";
        let (used, max) = (1_048_576, 2_097_152);
        assert_eq!(memory(text), Some(Memory { used, max }));
        assert_eq!(memory(""), None);
        let text = "# Keyspace\r\ndb0:keys=12,expires=3,avg_ttl=5\r\ndb10:keys=2,expires=0,avg_ttl=0\r\n";
        assert_eq!([0, 1, 10].map(|n| mortal(text, n)), [3, 0, 0]);
    }

    #[test]
    fn a_server_without_a_bound_is_never_the_fullest() {
        let [free, half, full] = [(9, 0), (50, 100), (99, 100)].map(|(used, max)| Memory { used, max });
        let fullest = [half, full, free].into_iter().max_by(Memory::by_fullness);
        assert_eq!(fullest, Some(full));
        assert!(full.is_filling() && !half.is_filling() && !free.is_filling());
    }
}
