//! What Stripe tells becomes credits, pauses and calls.
//!
//! Each object of Stripe's that matters has a memo (`grant:credgr_1`, `purchase:pi_1`, `invoice:in_1`, `customer:cus_1`, ...), a document of the gate's own
//! beside the ledger's books. A memo *hears* what is told of its object, in whatever order and however often ([`memo`] and the files of each kind: pure);
//! from what it has heard follows what it *wants*: credits granted or taken, reasons on the account, calls to Stripe's API. The [`desk`] writes the memo
//! first, then does what it wants, then notes that it is done. So nothing is lost by a crash between any two steps, and nothing is done twice: each want
//! bears an id (of a grant, of a command, an idempotency key) or says what shall be.
//!
//! Every way by which something is learned (webhooks, answers of the API, `stripe sync`, `stripe replay`) goes through the same memos.

mod alarm;
pub mod audit;
/// Where Stripe sends its events, on the listener that requests come to.
pub const WEBHOOK: &str = "/faregate/stripe/webhook";

mod customer;
pub mod desk;
mod grant;
pub mod harden;
mod invoice;
pub mod lot;
mod mark;
pub mod memo;
mod purchase;
mod report;
mod rules;
mod said;
pub mod sales;
pub mod top_up;
mod usage;
mod verify;
