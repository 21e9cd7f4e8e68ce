//! The scripts on a real server, one by one.

use faregate::domain::command::{Command, Outcome};
use faregate::ledger::Ledger;

use super::{open, options};
use crate::ledger::moves::{START, World};
use crate::rig::redis::{RedisOptions, RedisServer};

#[tokio::test]
async fn an_account_is_made_and_pays() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (options, _) = options(server.url(), START);
    let ledger = open(options).await;
    let mut world = World::new("acme", START);
    for (command, expected) in world.history.clone() {
        assert_eq!(
            ledger.execute(&command).await.as_ref(),
            Ok(&expected),
            "{command:?}"
        );
    }
    let due = Command::ApplyDue {
        account: world.account.clone(),
    };
    let step = world.execute(&due);
    assert_eq!(ledger.execute(&due).await, Ok(step.outcome));
    assert!(matches!(world.history.last(), Some((_, Outcome::Applied(_)))));
    let statement = ledger.statement(&world.account).await.unwrap().unwrap();
    assert_eq!(statement.account, world.book().account);
}
