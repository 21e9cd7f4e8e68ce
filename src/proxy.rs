//! L4: the data plane. Requests come in over [`Server`], pass the pipeline in `stack.rs`, and go to an upstream when they are paid.
//!
//! | Files | Answer |
//! |---|---|
//! | `stack`, `stage` | what a request must pass, and how far it has come, as types |
//! | `route`, `identify`, `quote`, `charge`, `forward` | one stage each; `once`, `answers`: what comes under an idempotency key |
//! | `exchange`, `outcome`, `body`, `upload` | what is known of a request until its answer has ended; its two bodies |
//! | `fault`, `code`, `rescue` | what can go wrong, and the only place where that becomes an answer |
//! | `own`, `cors` | what is answered before a route is looked for |
//! | `live`, `worker`, `server`, `listener`, `tls` | the configuration as a worker uses it, a worker, all of them, their connections |

mod answers;
mod body;
mod charge;
mod code;
mod cors;
mod descriptors;
mod exchange;
mod fault;
mod forward;
pub mod fuzzing;
mod identify;
mod incoming;
mod listener;
mod live;
mod metering;
mod once;
mod outcome;
mod outlive;
mod own;
mod panics;
mod quote;
mod reply;
mod rescue;
mod route;
mod server;
mod stack;
mod stage;
mod stall;
mod tls;
mod upload;
mod worker;

pub use code::Code;
pub use live::LiveError;
pub use outcome::{OUTCOMES, Outcome};
pub use own::{Own, OwnAnswer, OwnCall, OwnFault};
pub use server::{Making, Server, StartError, workers};
pub use tls::{Tls, TlsError};
pub use worker::{Parts, Prepared, Worker};
