//! `[admin]`: the operator's listener and who may use it.

use std::net::SocketAddr;

use crate::domain::credits::Credits;

use super::context::Placed;
use super::secret::Secret;
use super::section::{Section, within};
use super::server::{Tls, read_listen, read_tls};

/// `[admin]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    /// Where to listen; loopback by default.
    pub listen: SocketAddr,
    /// TLS.
    pub tls: Option<Tls>,
    /// Who may use it. Empty only on loopback: then everyone on this machine may do everything.
    pub tokens: Vec<AdminToken>,
    /// The most that one grant or one adjustment may move, in either direction: a slip of the hand is caught.
    pub grant_max: Credits,
}

/// A bearer token, named so that the journal can say who acted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdminToken {
    /// Who bears it; no two are the same.
    pub name: String,
    /// The token.
    pub token: Secret,
    /// What it may do.
    pub role: Role,
}

/// What a token may do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Look.
    Read,
    /// Look, and change accounts, keys and grants.
    Operate,
    /// Everything, incl. backup, restore, rebuild and reload.
    All,
}

impl Role {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Operate => "operate",
            Role::All => "all",
        }
    }
}

pub(super) const LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9091);
/// The name of the bearer of the shorthand `token`.
const SHORTHAND: &str = "admin";
/// In whole credits.
const GRANT_MAX: u32 = 1_000_000;
const TOKENS_MAX: usize = 100;
/// Below this a token that the network can try is no obstacle.
const TOKEN_MIN: usize = 16;

const ROLE: &str =
    "read: look; operate: also change accounts, keys and grants; all: also backup, restore, rebuild, reload.";

pub(super) fn read(s: &Section<'_>) -> Admin {
    let listen = read_listen(
        s,
        LISTEN,
        "IP address and port of metrics, health and the admin API.",
    );
    let tls = read_tls(s);
    let cleartext = s.flag(
        "cleartext",
        "Says that the network between here and its users is private, so that another address than loopback may do without TLS.",
    );
    let mut tokens: Vec<RawToken> = Vec::new();
    if let Some(token) = s.secret(
        "token",
        "One bearer token with the role all; its bearer is called `admin`.",
    ) {
        tokens.push(RawToken {
            name: Placed::new(SHORTHAND.to_owned(), &token.place),
            token,
            role: Role::All,
        });
    }
    let named = s.tables(
        "tokens",
        "Bearer tokens by name and role.",
        "name",
        TOKENS_MAX,
        read_token,
    );
    tokens.extend(named.into_iter().flatten());
    let grant_max = s.credits_or(
        "grant_max",
        "The most credits that one grant or one adjustment may move, so that a slip of the hand is caught.",
        GRANT_MAX,
        within(
            Credits::MICRO,
            Credits::MAX,
            "to let nobody grant, give out tokens with the role read",
        ),
    );
    check_exposure(s, listen, tls.is_some() || cleartext, &tokens);
    check_distinct(s, &tokens);
    Admin {
        listen,
        tls,
        tokens: tokens.into_iter().map(RawToken::finish).collect(),
        grant_max,
    }
}

/// As read: where its parts stand.
struct RawToken {
    name: Placed<String>,
    token: Placed<Secret>,
    role: Role,
}

impl RawToken {
    fn finish(self) -> AdminToken {
        AdminToken {
            name: self.name.value,
            token: self.token.value,
            role: self.role,
        }
    }
}

fn read_token(s: &Section<'_>) -> Option<RawToken> {
    let name = s.text("name", "Who bears it: the journal names them.");
    let token = s.secret("token", "The token.");
    let roles = &[
        ("read", Role::Read),
        ("operate", Role::Operate),
        ("all", Role::All),
    ];
    let role = s.choice("role", ROLE, "", roles);
    for (key, advice) in [
        ("name", "say who bears it: name = \"billing\""),
        ("token", "give it: token = \"${BILLING_TOKEN}\""),
        (
            "role",
            "say what it may do: role = \"read\", \"operate\" or \"all\"",
        ),
    ] {
        s.required(key, advice);
    }
    let name = name?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@');
    if name.value.len() > 64 || !name.value.bytes().all(fits) {
        let what = format!("{:?} is no name for a token", name.value);
        s.problem(&name.place, what, "use 1 to 64 letters, digits and `-_.@`");
        return None;
    }
    Some(RawToken {
        name,
        token: token?,
        role: role?,
    })
}

/// S5: whoever can reach the listener can give themselves credits.
fn check_exposure(s: &Section<'_>, listen: SocketAddr, private: bool, tokens: &[RawToken]) {
    if listen.ip().to_canonical().is_loopback() || s.describing() {
        return;
    }
    let place = s.place_or("listen");
    // A token that is there but could not be had is a problem already.
    if !s.has("token") && !s.has("tokens") {
        s.problem(
            &place,
            format!("{listen} can be reached from other machines, and there is no token"),
            "set token = \"${FAREGATE_ADMIN_TOKEN}\", or listen at \"127.0.0.1:9091\"",
        );
    }
    if !private {
        s.problem(
            &place,
            format!("{listen} can be reached from other machines, and tokens would go over the network in the clear"),
            "add [admin.tls] with cert and key, or say cleartext = true where the network is private",
        );
    }
    for token in tokens
        .iter()
        .filter(|token| token.token.value.expose().len() < TOKEN_MIN)
    {
        s.problem(
            &token.token.place,
            "is too short a token for an address that other machines can reach",
            format!("use at least {TOKEN_MIN} random characters, such as those of `openssl rand -hex 32`"),
        );
    }
}

fn check_distinct(s: &Section<'_>, tokens: &[RawToken]) {
    for (at, token) in tokens.iter().enumerate() {
        for earlier in &tokens[..at] {
            if earlier.name.value == token.name.value {
                let what = format!("{:?} names another token already", token.name.value);
                s.problem(&token.name.place, what, "give each token a name of its own");
            }
            if earlier.token.value == token.token.value {
                let what = format!("is the same token as that of {:?}", earlier.name.value);
                s.problem(
                    &token.token.place,
                    what,
                    "give each bearer a token of its own, so that the journal can tell who acted",
                );
            }
        }
    }
}
