//! L0: values and decisions. No async, no I/O, no clock, no randomness, no floats.
//!
//! Read in this order: [`credits`], [`account`] and [`grant`] and [`hold`] (the nouns), [`command`] (what may
//! happen) with [`refusal`] (why it may not), [`engine`] (what then happens), [`entry`] (what is written down).

pub mod account;
pub mod claim;
pub mod command;
pub mod credits;
pub mod engine;
pub mod entry;
pub mod fuzzing;
pub mod grant;
pub mod hold;
pub mod ids;
pub mod key;
pub mod limits;
pub mod model;
pub mod money;
pub mod price;
pub mod refusal;
pub mod shelf;
pub mod time;
pub mod usage;
