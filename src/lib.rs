//! Faregate: prepaid credits enforced in front of a model server.
//!
//! Layers, imports point down only (tested in `tests/it/tidy.rs`):
//!
//! | Layer | Modules |
//! |---|---|
//! | L0 | [`domain`]: values and decisions, no I/O |
//! | L1 | [`clock`], [`config`], [`telemetry`], [`http`], [`meter`]: bodies to tokens and back, [`tokenizer`] |
//! | L2 | [`ledger`]: the port and its two stores; [`stripe`]: its signatures, its API |
//! | L3 | [`service`]: the one place where things are done |
//! | L4 | [`proxy`], [`api`] |
//! | L5 | [`app`]: the only place that names an adapter |
//! | L6 | [`cli`], `main` |

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod http;
pub mod ledger;
pub mod meter;
pub mod proxy;
pub mod service;
pub mod stripe;
pub mod telemetry;
pub mod tokenizer;
