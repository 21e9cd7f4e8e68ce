//! Every endpoint of the admin listener, once.

use crate::config::Role;

/// What an endpoint does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each is described by its endpoint's summary")]
pub enum Operation {
    Health,
    Ready,
    Metrics,
    OpenApi,
    ListAccounts,
    GetAccount,
    CreateAccount,
    PauseAccount,
    ResumeAccount,
    SetPlan,
    SetLimits,
    Adjust,
    ListKeys,
    CreateKey,
    RevokeKey,
    ListGrants,
    PutGrant,
    VoidGrant,
    ListEntries,
    Verify,
    Rebuild,
    Backup,
    Reload,
}

/// One endpoint.
#[derive(Debug)]
pub struct Endpoint {
    /// GET, PUT, POST or DELETE.
    pub method: &'static str,
    /// Its path, with `{...}` for values.
    pub path: &'static str,
    /// The role it takes; `None` is open to whoever reaches the listener.
    pub role: Option<Role>,
    /// What it does.
    pub operation: Operation,
    /// A sentence for the OpenAPI document.
    pub summary: &'static str,
    /// The body's members, as `name: type, what` lines of the OpenAPI document; empty for none.
    pub body: &'static [Member],
    /// It is a list with `cursor` and `limit`.
    pub paged: bool,
}

/// A member of a body.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// Its JSON type.
    pub kind: &'static str,
    /// It must be there.
    pub required: bool,
    /// What it means.
    pub what: &'static str,
}

const fn member(name: &'static str, kind: &'static str, required: bool, what: &'static str) -> Member {
    Member {
        name,
        kind,
        required,
        what,
    }
}

const fn endpoint(
    method: &'static str,
    path: &'static str,
    role: Option<Role>,
    operation: Operation,
    summary: &'static str,
) -> Endpoint {
    Endpoint {
        method,
        path,
        role,
        operation,
        summary,
        body: &[],
        paged: false,
    }
}

impl Endpoint {
    const fn body(self, body: &'static [Member]) -> Endpoint {
        Endpoint { body, ..self }
    }

    const fn paged(self) -> Endpoint {
        Endpoint { paged: true, ..self }
    }
}

const LIMITS: &[Member] = &[
    member("requests_per_minute", "integer", false, "null is no cap"),
    member("tokens_per_minute", "integer", false, "null is no cap"),
    member(
        "concurrent",
        "integer",
        false,
        "open holds at once; null is no cap",
    ),
    member(
        "spend_per_day",
        "string",
        false,
        "credits per UTC day; null is no cap",
    ),
    member(
        "spend_per_month",
        "string",
        false,
        "credits per UTC month; null is no cap",
    ),
];

const REASON: &[Member] = &[member(
    "reason",
    "string",
    true,
    "a kind, or kind and object: manual, invoice:in_1",
)];

use Operation as O;
const READ: Option<Role> = Some(Role::Read);
const OPERATE: Option<Role> = Some(Role::Operate);
const ALL: Option<Role> = Some(Role::All);

/// All of them.
pub const ENDPOINTS: &[Endpoint] = &[
    endpoint("GET", "/healthz", None, O::Health, "Alive; never asks the ledger"),
    endpoint(
        "GET",
        "/readyz",
        None,
        O::Ready,
        "Ready to serve, or 503 with the reason",
    ),
    endpoint(
        "GET",
        "/metrics",
        None,
        O::Metrics,
        "Metrics in Prometheus' text format",
    ),
    endpoint("GET", "/admin/v1/openapi.json", None, O::OpenApi, "This document"),
    endpoint(
        "GET",
        "/admin/v1/accounts",
        READ,
        O::ListAccounts,
        "Ids of all accounts",
    )
    .paged(),
    endpoint(
        "GET",
        "/admin/v1/accounts/{account}",
        READ,
        O::GetAccount,
        "An account with its balance and grants",
    ),
    endpoint(
        "PUT",
        "/admin/v1/accounts/{account}",
        OPERATE,
        O::CreateAccount,
        "Make an account; one that exists stays as it is",
    )
    .body(&[member("plan", "string", false, "a plan of the configuration")]),
    endpoint(
        "POST",
        "/admin/v1/accounts/{account}/pause",
        OPERATE,
        O::PauseAccount,
        "Pause it for a reason",
    )
    .body(REASON),
    endpoint(
        "POST",
        "/admin/v1/accounts/{account}/resume",
        OPERATE,
        O::ResumeAccount,
        "Clear one reason",
    )
    .body(REASON),
    endpoint(
        "PUT",
        "/admin/v1/accounts/{account}/plan",
        OPERATE,
        O::SetPlan,
        "Put it on a plan",
    )
    .body(&[member("plan", "string", false, "null for none")]),
    endpoint(
        "PUT",
        "/admin/v1/accounts/{account}/limits",
        OPERATE,
        O::SetLimits,
        "Set all its own caps, which go before its plan's",
    )
    .body(LIMITS),
    endpoint(
        "PUT",
        "/admin/v1/accounts/{account}/adjustments/{id}",
        ALL,
        O::Adjust,
        "Give or take credits by hand, once per id",
    )
    .body(&[
        member("amount", "string", true, "credits; below zero takes"),
        member("reason", "string", true, "for the journal"),
    ]),
    endpoint(
        "GET",
        "/admin/v1/accounts/{account}/keys",
        READ,
        O::ListKeys,
        "Its keys, never the keys themselves",
    ),
    endpoint(
        "POST",
        "/admin/v1/accounts/{account}/keys",
        OPERATE,
        O::CreateKey,
        "Make a key, shown once; or import one",
    )
    .body(&[
        member(
            "key",
            "string",
            false,
            "an existing key to import; importing it again changes nothing",
        ),
        member("name", "string", false, "for people"),
        member("expires_at", "string", false, "RFC 3339"),
        member("limits", "object", false, "the key's own caps"),
    ]),
    endpoint(
        "DELETE",
        "/admin/v1/accounts/{account}/keys/{key}",
        OPERATE,
        O::RevokeKey,
        "Revoke a key, for good",
    ),
    endpoint(
        "GET",
        "/admin/v1/accounts/{account}/grants",
        READ,
        O::ListGrants,
        "Its grants in burn order",
    ),
    endpoint(
        "PUT",
        "/admin/v1/accounts/{account}/grants/{grant}",
        OPERATE,
        O::PutGrant,
        "Say how a grant looks; the same again changes nothing",
    )
    .body(&[
        member("amount", "string", true, "credits; never changes"),
        member("category", "string", false, "paid (default) or promotional"),
        member(
            "priority",
            "integer",
            false,
            "0 burns first, 100 last; default 50",
        ),
        member("effective_at", "string", false, "RFC 3339; default now"),
        member("expires_at", "string", false, "RFC 3339; default never"),
        member("note", "string", false, "for people"),
        member("dry_run", "boolean", false, "say what would be, change nothing"),
    ]),
    endpoint(
        "POST",
        "/admin/v1/accounts/{account}/grants/{grant}/void",
        OPERATE,
        O::VoidGrant,
        "End a grant; what is unspent of it goes",
    ),
    endpoint(
        "GET",
        "/admin/v1/accounts/{account}/entries",
        READ,
        O::ListEntries,
        "Its journal, newest first",
    )
    .paged(),
    endpoint(
        "POST",
        "/admin/v1/ledger/verify",
        READ,
        O::Verify,
        "Prove the books over all accounts",
    ),
    endpoint(
        "POST",
        "/admin/v1/ledger/rebuild",
        ALL,
        O::Rebuild,
        "Rebuild all balances from the journal",
    ),
    endpoint(
        "POST",
        "/admin/v1/ledger/backup",
        ALL,
        O::Backup,
        "Copy the embedded ledger to a file on the proxy's machine",
    )
    .body(&[member(
        "file",
        "string",
        true,
        "an absolute path that does not exist",
    )]),
    endpoint(
        "POST",
        "/admin/v1/config/reload",
        ALL,
        O::Reload,
        "Load the configuration again, whole or not at all",
    ),
];
