//! Whose account something concerns: the one that the operator named in Stripe's metadata, else the one of the customer's id.

use crate::config::stripe::Mode;
use crate::domain::ids::AccountId;
use crate::ledger::LedgerError;
use crate::ledger::memos::MemoName;
use crate::stripe::api;
use crate::stripe::facts::{Fact, Telling};

use super::super::customer::CustomerMemo;
use super::super::memo::{Document, Done, Owner, Rules, Whose};
use super::super::sales::buyer;
use super::Desk;
use super::settle::{Ended, Stored, Tried};

impl Desk {
    pub(super) async fn owner(
        &self,
        memo: &MemoName,
        whose: &Whose,
        rules: &Rules,
        api: bool,
    ) -> Result<Tried, LedgerError> {
        match whose {
            Whose::Customer { owner, pays } => self.account_of(memo, owner, *pays, rules, api).await,
            Whose::Payment(payment) => self.payer(memo, payment, rules, api).await,
            Whose::Charge(charge) => self.by_charge(memo, charge, rules, api).await,
        }
    }

    /// By a payment: whoever made it.
    async fn payer(
        &self,
        memo: &MemoName,
        payment: &str,
        rules: &Rules,
        api: bool,
    ) -> Result<Tried, LedgerError> {
        let Ok(name) = MemoName::new("purchase", payment) else {
            return Ok(refused(format!("{payment:?} is no payment's id")));
        };
        if let Document::Purchase(purchase) = self.document(&name).await? {
            if purchase.owner.account.is_some() {
                return Ok(Tried::Came(Done::Owner(purchase.owner)));
            }
            if purchase.owner.customer.is_some() {
                return self.account_of(memo, &purchase.owner, false, rules, api).await;
            }
        }
        if !rules.api {
            let why = format!(
                "nothing is known of the payment {payment}; without `api_key` Stripe cannot be asked"
            );
            return Ok(Tried::Ends(Ended::Parked(why)));
        }
        if !api {
            return Ok(Tried::Ends(Ended::Ask));
        }
        let call = match api::get_payment(payment) {
            Ok(call) => call,
            Err(error) => return Ok(refused(error.to_string())),
        };
        let telling = match self.fetch(&call).await {
            Ok(telling) => telling,
            Err(tried) => return Ok(tried),
        };
        Box::pin(self.tell(&telling, true)).await?;
        let owner = match self.document(&name).await? {
            Document::Purchase(purchase) => purchase.owner,
            _ => Owner::default(),
        };
        if owner.is_nobody() {
            return Ok(refused(format!("the payment {payment} names no customer")));
        }
        self.account_of(memo, &owner, false, rules, api).await
    }

    /// By a charge: whoever was charged.
    async fn by_charge(
        &self,
        memo: &MemoName,
        charge: &str,
        rules: &Rules,
        api: bool,
    ) -> Result<Tried, LedgerError> {
        if rules.api && !api {
            return Ok(Tried::Ends(Ended::Ask));
        }
        let call = match api::get_charge(charge) {
            Ok(call) => call,
            Err(error) => return Ok(refused(error.to_string())),
        };
        let charged = match self.fetch(&call).await {
            Ok(Telling {
                fact: Fact::Charge(charged),
                ..
            }) => charged,
            Ok(_) => return Ok(refused(format!("{charge} is no charge"))),
            Err(tried) => return Ok(tried),
        };
        match (charged.payment, charged.customer) {
            (Some(payment), _) => self.payer(memo, &payment, rules, api).await,
            (None, Some(customer)) => {
                let owner = Owner {
                    customer: Some(customer),
                    ..Owner::default()
                };
                self.account_of(memo, &owner, false, rules, api).await
            }
            (None, None) => Ok(refused(format!("the charge {charge} names no customer"))),
        }
    }

    async fn account_of(
        &self,
        memo: &MemoName,
        owner: &Owner,
        pays: bool,
        rules: &Rules,
        api: bool,
    ) -> Result<Tried, LedgerError> {
        let Some(customer) = &owner.customer else {
            let found = self.found(owner, owner.named.as_deref(), pays, rules).await?;
            return self.unless_awaited(found, owner.named.as_deref(), memo).await;
        };
        let Ok(name) = MemoName::new("customer", customer) else {
            return Ok(refused(format!("{customer:?} is no customer's id")));
        };
        let mut known = self.customer(&name).await?;
        if owner.named.is_none() && known.owner.account.is_none() && !known.asked && rules.api {
            if !api {
                return Ok(Tried::Ends(Ended::Ask));
            }
            if let Err(tried) = self.look_at_customer(customer, &name, rules).await? {
                return Ok(tried);
            }
            known = self.customer(&name).await?;
        }
        let account = owner.named.as_ref().or(known.owner.account.as_ref());
        let account = account.or(known.owner.named.as_ref()).unwrap_or(customer).clone();
        let found = self.found(owner, Some(&account), pays, rules).await?;
        if let Tried::Came(Done::Owner(_)) = found {
            self.settle_in(&name, customer, &account).await?;
            return Ok(found);
        }
        if pays || !matches!(found, Tried::Ends(Ended::Nothing)) {
            return Ok(found);
        }
        // Trouble before there is an account: it is raised as soon as there is one.
        let mut settled_in = false;
        self.rewrite(&name, |document| {
            if let Document::Customer(waited_for) = document {
                // Made by somebody else since it was looked for.
                settled_in = waited_for.owner.account.is_some();
                if settled_in {
                    return;
                }
                waited_for.owner.customer = Some(customer.clone());
                if !waited_for.wait(memo.as_str()) {
                    tracing::error!(customer, memo = %memo, "too much waits for this customer to have an account");
                }
            }
        })
        .await?;
        if settled_in {
            return Ok(Tried::Ends(Ended::Again));
        }
        self.unless_awaited(found, Some(&account), &name).await
    }

    /// Where there is no account of this name, the memo is looked at when it is made.
    async fn unless_awaited(
        &self,
        found: Tried,
        account: Option<&str>,
        memo: &MemoName,
    ) -> Result<Tried, LedgerError> {
        let account = account.and_then(|name| AccountId::new(name).ok());
        if let (Tried::Ends(Ended::Nothing), Some(account)) = (&found, account)
            && self.await_account(&account, memo).await?
        {
            return Ok(Tried::Ends(Ended::Again));
        }
        Ok(found)
    }

    /// From now on this customer is this account, unless it is another's already.
    pub async fn introduce(&self, customer: &str, account: &AccountId) -> Result<(), LedgerError> {
        let Ok(name) = MemoName::new("customer", customer) else {
            return Ok(());
        };
        self.settle_in(&name, customer, account.as_str()).await
    }

    /// Whether an account is a customer of Stripe's that has its name from there.
    pub async fn is_customer(&self, account: &AccountId) -> Result<bool, LedgerError> {
        let Ok(name) = MemoName::new("customer", account.as_str()) else {
            return Ok(false);
        };
        let known = self.customer(&name).await?;
        Ok(known.owner.account.as_deref() == Some(account.as_str()))
    }

    /// The account by its name, made where somebody pays; nothing where it is not there.
    async fn found(
        &self,
        owner: &Owner,
        name: Option<&str>,
        pays: bool,
        rules: &Rules,
    ) -> Result<Tried, LedgerError> {
        let Some(text) = name else {
            return Ok(refused("nobody knows whose it is".to_owned()));
        };
        let account = match AccountId::new(text) {
            Ok(account) => account,
            Err(error) => return Ok(refused(format!("{text:?} cannot be an account: {error}"))),
        };
        if pays {
            self.make_account(&account, rules).await?;
        } else if self.ledger.statement(&account).await?.is_none() {
            return Ok(Tried::Ends(Ended::Nothing));
        }
        Ok(Tried::Came(Done::Owner(Owner {
            account: Some(text.to_owned()),
            ..owner.clone()
        })))
    }

    /// The customer has an account from now on: what waited for that is due.
    async fn settle_in(&self, name: &MemoName, customer: &str, account: &str) -> Result<(), LedgerError> {
        let mut waited = Vec::new();
        let mut is_new = false;
        self.rewrite(name, |document| {
            if let Document::Customer(memo) = document {
                memo.owner.customer = Some(customer.to_owned());
                is_new = memo.owner.account.is_none();
                if is_new {
                    memo.owner.account = Some(account.to_owned());
                }
                waited = memo.waiting.iter().cloned().collect();
            }
        })
        .await?;
        if is_new && customer != account {
            // So that the account buys as who it is already.
            buyer::remember(&*self.memos, account, customer).await?;
        }
        if self.rules().stripe.mode == Mode::Grants {
            self.usage_is_of(account, customer).await?;
        }
        let waited: Vec<MemoName> = waited.iter().filter_map(|memo| memo.parse().ok()).collect();
        if waited.is_empty() {
            return Ok(());
        }
        // Each is due before it is struck from the list, and the list is struck before any is worked on: each of them comes by here again.
        for memo in &waited {
            self.make_due(memo).await?;
        }
        self.rewrite(name, |document| {
            if let Document::Customer(memo) = document {
                memo.waiting
                    .retain(|waiting| waited.iter().all(|done| done.as_str() != waiting));
            }
        })
        .await?;
        for memo in &waited {
            Box::pin(self.settle(memo, false)).await?;
        }
        Ok(())
    }

    async fn look_at_customer(
        &self,
        customer: &str,
        name: &MemoName,
        rules: &Rules,
    ) -> Result<Result<(), Tried>, LedgerError> {
        let call = match api::get_customer(customer) {
            Ok(call) => call,
            Err(error) => return Ok(Err(refused(error.to_string()))),
        };
        let telling = match self.fetch(&call).await {
            Ok(telling) => telling,
            Err(tried) => return Ok(Err(tried)),
        };
        self.hear(name, &telling, rules).await?;
        Ok(Ok(()))
    }

    async fn customer(&self, name: &MemoName) -> Result<CustomerMemo, LedgerError> {
        Ok(match self.document(name).await? {
            Document::Customer(customer) => customer,
            _ => CustomerMemo::default(),
        })
    }

    /// A memo as it is; an empty one where there is none.
    pub(super) async fn document(&self, name: &MemoName) -> Result<Document, LedgerError> {
        let kept = self.memos.memo(name).await?;
        Ok(Stored::read(name, kept.as_ref())?.document)
    }
}

fn refused(why: String) -> Tried {
    Tried::Came(Done::Refused(why))
}
