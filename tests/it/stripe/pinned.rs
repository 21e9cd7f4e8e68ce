//! A ledger stays with the Stripe that it was first used with.

use super::till::{LEDGER, Setup, Till, config};
use crate::product::shop::{EMBEDDED, ROUTES, Shop};

/// Told by webhooks only: no key has to fit.
const TOLD: Setup = Setup { api: false, ..LEDGER };

impl Till {
    /// Starts another proxy, which must not come up; what it said.
    async fn refuses(&self, setup: &Setup) -> String {
        let refused = self.shop.try_second(setup.ledger, &config(setup, &self.stripe));
        assert_eq!(refused.process().wait_exit().await.code(), Some(1));
        refused.process().said()
    }
}

#[tokio::test]
async fn r14_a_ledger_of_test_money_never_serves_a_live_stripe_nor_another_account_or_mode() {
    let (_redis, setup) = TOLD.on_redis().await;
    let till = Till::open(setup).await;
    let live = Setup {
        more: "livemode = true",
        ..setup
    };
    let said = till.refuses(&live).await;
    assert!(
        said.contains("livemode = false") && said.contains("[ledger]"),
        "{said}"
    );
    let mode = Setup {
        mode: "grants",
        ..setup
    };
    let said = till.refuses(&mode).await;
    assert!(said.contains("mode = ledger"), "{said}");

    // An account that is named later is pinned then; one that is not named is no other one.
    let named = Setup {
        more: "account = \"acct_1\"",
        ..setup
    };
    let again = till
        .shop
        .second(setup.ledger, &config(&named, &till.stripe))
        .await;
    drop(again);
    let other = Setup {
        more: "account = \"acct_2\"",
        ..setup
    };
    let said = till.refuses(&other).await;
    assert!(said.contains("account = acct_1"), "{said}");
    let again = till
        .shop
        .second(setup.ledger, &config(&setup, &till.stripe))
        .await;
    drop(again);
    // Without Stripe there is nothing to be mixed up.
    till.shop.second(setup.ledger, ROUTES).await;
}

#[tokio::test]
async fn of_two_that_start_at_once_with_different_stripes_one_serves() {
    let (_redis, test) = TOLD.on_redis().await;
    let till = Till::open(Setup {
        ledger: EMBEDDED,
        ..TOLD
    })
    .await;
    let live = Setup {
        more: "livemode = true",
        ..test
    };
    let start = |setup: &Setup| till.shop.try_second(setup.ledger, &config(setup, &till.stripe));
    let both = [start(&test), start(&live)];
    let mut served = 0;
    for proxy in &both {
        let process = proxy.process();
        let ended = |line: &str| line.contains("serving") || line.contains("a ledger of its own");
        let line = process.wait_for_line(ended).await;
        served += usize::from(line.contains("serving"));
    }
    assert_eq!(served, 1);
}

#[tokio::test]
async fn a_reload_takes_no_other_account() {
    let till = Till::open(TOLD).await;
    let named = Setup {
        more: "account = \"acct_2\"",
        ..TOLD
    };
    till.shop.configure(EMBEDDED, &config(&named, &till.stripe));
    let told = Shop::cli(&till.shop, ["reload"]).await;
    assert!(
        told.to_string()
            .contains("stripe.account: new: acct_2 (after a restart)"),
        "{told}"
    );
}
