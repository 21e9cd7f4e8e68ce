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
    Checkout,
    GetTopUp,
    GetVerification,
    VerifyAccount,
    StopTopUp,
    ListEntries,
    Verify,
    Rebuild,
    Backup,
    Reload,
    StripeSync,
    StripeParked,
    StripeDismiss,
    StripeReplay,
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
    /// The forms of its answers when all went well, by name; none is plain text.
    pub answers: &'static [&'static str],
}

/// A member of a body.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// Its JSON type; `|null` where null says something too; or the name of a form of its own.
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
        answers: &[],
    }
}

impl Endpoint {
    const fn body(self, body: &'static [Member]) -> Endpoint {
        Endpoint { body, ..self }
    }

    const fn answers(self, answers: &'static [&'static str]) -> Endpoint {
        Endpoint { answers, ..self }
    }

    const fn paged(self) -> Endpoint {
        Endpoint { paged: true, ..self }
    }
}

const LIMITS: &[Member] = &[
    member("requests_per_minute", "integer|null", false, "null is no cap"),
    member("tokens_per_minute", "integer|null", false, "null is no cap"),
    member(
        "concurrent",
        "integer|null",
        false,
        "open holds at once; null is no cap",
    ),
    member(
        "spend_per_day",
        "string|null",
        false,
        "credits per UTC day; null is no cap",
    ),
    member(
        "spend_per_month",
        "string|null",
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
    .answers(&["Accounts"])
    .paged(),
    endpoint(
        "GET",
        "/admin/v1/accounts/{account}",
        READ,
        O::GetAccount,
        "An account with its balance and grants",
    )
    .answers(&["Account"]),
    endpoint(
        "PUT",
        "/admin/v1/accounts/{account}",
        OPERATE,
        O::CreateAccount,
        "Make an account; one that exists stays as it is",
    )
    .answers(&["Account"])
    .body(&[member(
        "plan",
        "string|null",
        false,
        "a plan of the configuration",
    )]),
    endpoint(
        "POST",
        "/admin/v1/accounts/{account}/pause",
        OPERATE,
        O::PauseAccount,
        "Pause it for a reason",
    )
    .answers(&["Account"])
    .body(REASON),
    endpoint(
        "POST",
        "/admin/v1/accounts/{account}/resume",
        OPERATE,
        O::ResumeAccount,
        "Clear one reason",
    )
    .answers(&["Account"])
    .body(REASON),
    endpoint(
        "PUT",
        "/admin/v1/accounts/{account}/plan",
        OPERATE,
        O::SetPlan,
        "Put it on a plan",
    )
    .answers(&["Account"])
    .body(&[member("plan", "string|null", false, "null for none")]),
    endpoint(
        "PUT",
        "/admin/v1/accounts/{account}/limits",
        OPERATE,
        O::SetLimits,
        "Set all its own caps, which go before its plan's",
    )
    .answers(&["Account"])
    .body(LIMITS),
    endpoint(
        "PUT",
        "/admin/v1/accounts/{account}/adjustments/{id}",
        ALL,
        O::Adjust,
        "Give or take credits by hand, once per id",
    )
    .answers(&["Account"])
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
    )
    .answers(&["Keys"]),
    endpoint(
        "POST",
        "/admin/v1/accounts/{account}/keys",
        OPERATE,
        O::CreateKey,
        "Make a key, shown once; or import one",
    )
    .answers(&["NewKey"])
    .body(&[
        member(
            "key",
            "string|null",
            false,
            "an existing key to import; importing it again changes nothing",
        ),
        member("name", "string|null", false, "for people"),
        member("expires_at", "string|null", false, "RFC 3339"),
        member("limits", "Limits", false, "the key's own caps"),
    ]),
    endpoint(
        "DELETE",
        "/admin/v1/accounts/{account}/keys/{key}",
        OPERATE,
        O::RevokeKey,
        "Revoke a key, for good",
    )
    .answers(&["Key"]),
    endpoint(
        "GET",
        "/admin/v1/accounts/{account}/grants",
        READ,
        O::ListGrants,
        "Its grants in burn order",
    )
    .answers(&["Grants"]),
    endpoint(
        "PUT",
        "/admin/v1/accounts/{account}/grants/{grant}",
        OPERATE,
        O::PutGrant,
        "Say how a grant looks; the same again changes nothing",
    )
    .answers(&["Account", "DryRun"])
    .body(&[
        member("amount", "string", true, "credits; never changes"),
        member("category", "string|null", false, "paid (default) or promotional"),
        member(
            "priority",
            "integer|null",
            false,
            "0 burns first, 100 last; default 50",
        ),
        member("effective_at", "string|null", false, "RFC 3339; default now"),
        member("expires_at", "string|null", false, "RFC 3339; default never"),
        member("note", "string|null", false, "for people"),
        member("dry_run", "boolean", false, "say what would be, change nothing"),
    ]),
    endpoint(
        "POST",
        "/admin/v1/accounts/{account}/grants/{grant}/void",
        OPERATE,
        O::VoidGrant,
        "End a grant; what is unspent of it goes",
    )
    .answers(&["Account"]),
    endpoint(
        "POST",
        "/admin/v1/accounts/{account}/checkout",
        OPERATE,
        O::Checkout,
        "Make a payment page for a pack; one for each Idempotency-Key",
    )
    .answers(&["Checkout"])
    .body(&[member(
        "pack",
        "string",
        true,
        "the id of a pack of the configuration",
    )]),
    endpoint(
        "GET",
        "/admin/v1/accounts/{account}/top-up",
        READ,
        O::GetTopUp,
        "How its automatic top-ups stand",
    )
    .answers(&["TopUp"]),
    endpoint(
        "GET",
        "/admin/v1/accounts/{account}/verify",
        READ,
        O::GetVerification,
        "How it stands with what its plan asks for before the next one opens",
    )
    .answers(&["Verification"]),
    endpoint(
        "POST",
        "/admin/v1/accounts/{account}/verify",
        OPERATE,
        O::VerifyAccount,
        "Make a page on which it can show what its plan asks for; one for each Idempotency-Key",
    )
    .answers(&["VerifyPage"]),
    endpoint(
        "DELETE",
        "/admin/v1/accounts/{account}/top-up",
        OPERATE,
        O::StopTopUp,
        "Have nothing bought automatically any more",
    )
    .answers(&["TopUp"]),
    endpoint(
        "GET",
        "/admin/v1/accounts/{account}/entries",
        READ,
        O::ListEntries,
        "Its journal, newest first",
    )
    .answers(&["Entries"])
    .paged(),
    endpoint(
        "POST",
        "/admin/v1/ledger/verify",
        READ,
        O::Verify,
        "Prove the books over all accounts",
    )
    .answers(&["Report"]),
    endpoint(
        "POST",
        "/admin/v1/ledger/rebuild",
        ALL,
        O::Rebuild,
        "Rebuild all balances from the journal",
    )
    .answers(&["Report"]),
    endpoint(
        "POST",
        "/admin/v1/ledger/backup",
        ALL,
        O::Backup,
        "Copy the embedded ledger to a file on the proxy's machine",
    )
    .answers(&["Done"])
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
    )
    .answers(&["Reloaded"]),
    endpoint(
        "POST",
        "/admin/v1/stripe/sync",
        OPERATE,
        O::StripeSync,
        "Look at everything at Stripe, make up for what was missed, say what differs",
    )
    .answers(&["SyncReport"]),
    endpoint(
        "GET",
        "/admin/v1/stripe/parked",
        READ,
        O::StripeParked,
        "What Stripe told that waits for somebody to change something",
    )
    .answers(&["ParkedList"])
    .paged(),
    endpoint(
        "POST",
        "/admin/v1/stripe/dismiss",
        OPERATE,
        O::StripeDismiss,
        "Have one of them waited for no more: a person has dealt with it",
    )
    .answers(&["Dismissed"])
    .body(&[member(
        "what",
        "string",
        true,
        "as the list of what is parked names it",
    )]),
    endpoint(
        "POST",
        "/admin/v1/stripe/replay",
        OPERATE,
        O::StripeReplay,
        "Take events as if Stripe had delivered them",
    )
    .answers(&["Replayed"])
    .body(&[member(
        "events",
        "array",
        true,
        "events as Stripe sends them, 500 at most",
    )]),
];
