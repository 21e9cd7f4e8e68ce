//! What a proof of the books finds of damage done behind the ledger's back.

use faregate::clock::ManualClock;
use faregate::domain::limits::Limits;
use faregate::domain::time::Timestamp;
use faregate::ledger::Ledger;

use super::single;
use crate::ledger::moves::{START, micros};
use crate::ledger::teller::{Teller, applied};
use crate::rig::redis::{RedisOptions, RedisServer};

/// Keys of records that no promise hangs on: the store's own (without which it is not opened again), how far the sweep has come, and by which digest a
/// key is found (a rebuild finds that).
const NOBODYS: [&[u8]; 3] = [b"fg:meta", b"fg:{0}:w", b"fg:{0}:i:"];

#[tokio::test]
async fn p2_p3_p4_a_proof_names_every_record_that_is_gone() {
    let server = RedisServer::start(RedisOptions::default()).await;
    let (ledger, _) = single(&server).await;
    let clock = ManualClock::new(START);
    let teller = Teller::open(&ledger, &clock, "acme").await;
    applied(&teller.put_key(1, Limits::NONE, Timestamp::NEVER).await);
    teller.grant("used", micros(10)).await;
    let hold = teller.hold(micros(10)).await;
    applied(&teller.capture(hold, micros(10)).await);
    teller.grant("open", micros(100)).await;
    applied(&teller.adjust("fee", micros(-3)).await);
    let ended = hold;
    let hold = teller.hold(micros(7)).await;
    applied(&teller.extend(hold, 1, micros(2)).await);
    teller.prove().await;

    let mut connection = server.connection().await;
    let all: Vec<Vec<u8>> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .unwrap();
    let mut gone = 0;
    for key in all {
        let of_ended = key.ends_with(ended.as_bytes());
        if of_ended || NOBODYS.iter().any(|nobodys| key.starts_with(nobodys)) {
            continue;
        }
        let key = key.as_slice();
        let dump: Vec<u8> = redis::cmd("DUMP")
            .arg(key)
            .query_async(&mut connection)
            .await
            .unwrap();
        let () = redis::cmd("DEL")
            .arg(key)
            .query_async(&mut connection)
            .await
            .unwrap();
        let told = ledger.verify().await.map(|report| report.differences);
        let name = String::from_utf8_lossy(key);
        assert!(
            !matches!(&told, Ok(found) if found.is_empty()),
            "{name} is not missed"
        );
        let restore = redis::cmd("RESTORE").arg(key).arg(0).arg(dump).to_owned();
        let () = restore.query_async(&mut connection).await.unwrap();
        teller.prove().await;
        gone += 1;
    }
    assert!(gone >= 8, "{gone} keys");

    // The open hold: how it stands, how much, how often extended; as in `layout/records.rs`.
    let mut key = b"fg:{0}:h:acme:".to_vec();
    key.extend_from_slice(hold.as_bytes());
    let whole: Vec<u8> = redis::cmd("GET")
        .arg(&key)
        .query_async(&mut connection)
        .await
        .unwrap();
    for (at, byte) in [(0, 1), (2, 99), (2, 0), (43, 0), (43, 2)] {
        let set = redis::cmd("SETRANGE")
            .arg(&key)
            .arg(at)
            .arg(&[byte][..])
            .to_owned();
        let _: usize = set.query_async(&mut connection).await.unwrap();
        let found = ledger.verify().await.unwrap().differences;
        assert!(
            found.iter().any(|what| what.contains(&hold.to_string())),
            "byte {at} as {byte}: {found:?}"
        );
        let () = redis::cmd("SET")
            .arg(&key)
            .arg(&whole)
            .query_async(&mut connection)
            .await
            .unwrap();
        teller.prove().await;
    }
}
