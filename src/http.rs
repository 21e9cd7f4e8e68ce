//! The web parts that know nothing of money: what a request must look like before anything is asked about it.
//!
//! | File | Answers |
//! |---|---|
//! | [`target`] | which path is this, in the one spelling that is priced and served; which methods and forms are refused |
//! | [`pattern`] | which route is it: patterns, specificity, the matcher, 404 or 405 |
//! | [`headers`] | which headers pass, are stripped, are refused, in requests, responses and trailers |
//! | [`framing`] | where a request ends: the guard between a socket and hyper |
//! | [`body`] | reading a body whole within limits; the body of an answer |
//! | [`fuzzing`] | the laws of the above as functions of any bytes |
//!
//! A listener puts the guard around every connection, over TLS inside it, and leaves hyper's parser as strict as it is:
//!
//! ```no_run
//! # use faregate::http::framing::GuardedIo;
//! # async fn serve<S>(socket: tokio::net::TcpStream, service: S)
//! # where
//! #     S: hyper::service::HttpService<hyper::body::Incoming, ResBody = String, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
//! #     S: Send + 'static,
//! # {
//! let io = GuardedIo::new(socket);
//! let gate = io.upgrade_gate(); // a service that answers 101 opens it before, and answers 400 if it does not open
//! let http = hyper::server::conn::http1::Builder::new();
//! let _ = http.serve_connection(hyper_util::rt::TokioIo::new(io), service).await;
//! # let _ = gate;
//! # }
//! ```
//!
//! A proxy uses the rest in this order, for every request:
//!
//! ```
//! use faregate::http::headers::{RequestRules, clean_request};
//! use faregate::http::pattern::{Lookup, Matcher};
//! use faregate::http::target::Target;
//!
//! // Once, from the configuration:
//! let routes = Matcher::new([("POST /v1/chat/completions".parse()?, "chat"), ("GET /v1/models/*".parse()?, "models")])?;
//! let rules = RequestRules::default();
//!
//! // For each request:
//! let request = http::Request::post("/v1/%63hat/completions?beta").header("host", "gate").body(())?;
//! let (mut parts, _body) = request.into_parts();
//! let facts = clean_request(&mut parts, &rules)?; // an error says its status() and a sentence
//! let target = Target::read(&parts.method, &parts.uri)?; // likewise
//! match routes.find(parts.method.as_str(), target.path()) {
//!     Lookup::Found(_, route) => assert_eq!(*route, "chat"),
//!     Lookup::OtherMethods(allow) => panic!("405, Allow: {}", allow.join(", ")),
//!     Lookup::Lookalike(_) | Lookup::Unknown => panic!("404"),
//! }
//! assert_eq!(target.into_path_and_query(), "/v1/chat/completions?beta"); // what the upstream gets
//! assert!(!facts.accepts_trailers);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where the whole body is needed, [`body::read`] reads it; where it is streamed, an error of the body goes through
//! [`framing::violation`] to tell 400 from a client that has left, and its trailers are dropped. Of the upstream's answer,
//! read what is for the gate, then [`headers::clean_response`], and [`headers::clean_trailers`] at its end.

pub mod body;
pub mod framing;
pub mod fuzzing;
pub mod headers;
pub mod pattern;
pub mod target;
