//! The built binary, whole: an operator's and a customer's day, and what must not go wrong on it.

mod admin;
mod cluster;
mod copy;
mod customer;
mod demo;
mod faults;
mod long_reads;
mod money;
mod openapi;
mod operator;
mod race;
pub(crate) mod redis;
pub(crate) mod sdk;
pub(crate) mod shop;
mod tokens;
