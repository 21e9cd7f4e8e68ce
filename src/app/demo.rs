//! `faregate demo`: everything at once on a bare machine.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use crate::domain::command::AccountChange;
use crate::domain::credits::Credits;
use crate::domain::grant::{Category, GrantFacts};
use crate::domain::ids::{AccountId, GrantId};
use crate::domain::time::Timestamp;
use crate::service::accounts::{self, Actor};
use crate::service::grants;
use crate::service::keys::{self, KeyOptions, SecretKey};
use crate::service::request_ids::kernel_entropy;

use super::serve::{Started, runtime};
use super::till::{self, Till};
use super::{AppError, load, pretend};

/// Three chats' worth, and half of a fourth.
const CREDITS: &str = "1";

/// How the demo runs.
#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// Where the ledger is kept; a new folder that goes at the end if not given.
    pub folder: Option<PathBuf>,
}

/// Runs the demo until Ctrl-C; `say` prints a line.
pub fn demo(options: DemoOptions, say: impl Fn(&str)) -> Result<(), AppError> {
    let (folder, temporary) = match options.folder {
        Some(folder) => (folder, false),
        None => (new_folder()?, true),
    };
    let done = runtime()?.block_on(run(&folder, &say));
    if temporary {
        // It was only ever for this run; what cannot be removed does no harm.
        let _ = std::fs::remove_dir_all(&folder);
    }
    done
}

fn new_folder() -> Result<PathBuf, AppError> {
    let folder = std::env::temp_dir().join(format!("faregate-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| AppError::at(&folder, error))?;
    Ok(folder)
}

async fn run(folder: &std::path::Path, say: &impl Fn(&str)) -> Result<(), AppError> {
    let upstream = pretend::start().await.map_err(AppError::failed)?;
    let till = till::start().await?;
    let (listen, admin) = (free_port(8080)?, free_port(9091)?);
    let config = load::load(
        &config_text(folder, upstream, &till, listen, admin),
        "the demo's configuration",
    )?;
    load::start_log(&config);
    let started = Started::new(config, None).await?;
    let key = open_account(&started).await?;
    till.open(started.address(), key.reveal());
    say(&instructions(&started, &key, till.address));
    started.run().await
}

/// The usual port where it is free, so that what is printed looks like what is documented; else any.
fn free_port(usual: u16) -> Result<SocketAddr, AppError> {
    let bound = TcpListener::bind(("127.0.0.1", usual)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)));
    bound
        .and_then(|listener| listener.local_addr())
        .map_err(AppError::failed)
}

fn config_text(
    folder: &std::path::Path,
    upstream: SocketAddr,
    till: &Till,
    listen: SocketAddr,
    admin: SocketAddr,
) -> String {
    let (stripe, secret) = (till.address, &till.secret);
    format!(
        r#"
[server]
listen = "{listen}"
top_up_url = "http://{stripe}/buy"

[admin]
listen = "{admin}"

[ledger]
backend = "embedded"
path = {folder:?}

[log]
level = "warn"
format = "text"

[stripe]
mode = "ledger"
webhook_secrets = ["{secret}"]
api_key = "rk_test_demo"
api_base = "http://{stripe}"
credits_per_unit = {{ usd = 1 }}

[stripe.checkout]
success_url = "http://{stripe}/bought?session={{CHECKOUT_SESSION_ID}}"
cancel_url = "http://{stripe}/buy"

[[stripe.packs]]
id = "starter"
name = "One credit"
price = 1.00
currency = "usd"

[upstreams.pretend]
url = "http://{upstream}"

[models."announcer"]
input = 2000
output = 8000
output_tokens_max = 40
request_tokens = 0

[[routes]]
match = "POST /v1/chat/completions"
upstream = "pretend"
api = "openai-chat"
cost = "tokens"
output_min = 4

[[routes]]
match = "GET /v1/models"
upstream = "pretend"
api = "openai-models"
cost = 0
"#
    )
}

/// An account with credits and a new key.
async fn open_account(started: &Started) -> Result<SecretKey, AppError> {
    let ledger = started.ledger();
    let by = Actor::system("demo");
    let account = AccountId::new("demo").map_err(AppError::failed)?;
    accounts::set(ledger, &account, AccountChange::Create(None), &by)
        .await
        .map_err(AppError::failed)?;
    let now = ledger.ready().await.map_err(AppError::failed)?;
    let facts = GrantFacts {
        id: GrantId::new(&format!("demo-{}", now.millis())).map_err(AppError::failed)?,
        amount: CREDITS.parse::<Credits>().map_err(AppError::failed)?,
        priority: 50,
        category: Category::Promotional,
        effective_at: now,
        expires_at: Timestamp::NEVER,
        created_at: now,
        updated_at: now,
        voided_at: None,
        note: None,
    };
    grants::put(ledger, &account, facts, &by)
        .await
        .map_err(AppError::failed)?;
    let key = SecretKey::generate(&kernel_entropy());
    keys::put(ledger, &account, &key, KeyOptions::default(), &by)
        .await
        .map_err(AppError::failed)?;
    Ok(key)
}

fn instructions(started: &Started, key: &SecretKey, till: SocketAddr) -> String {
    let (proxy, admin, key) = (started.address(), started.admin, key.reveal());
    let flag = if admin.port() == 9091 {
        String::new()
    } else {
        format!(" --admin http://{admin}")
    };
    format!(
        r#"
Faregate runs on http://{proxy}, with a pretend model server behind it.
Account "demo" has {CREDITS} credit; a token read costs 0.002, a token written 0.008. Ctrl-C ends it.

  export KEY={key}

1. A streamed answer, paid for by its tokens (three of them, one that is cut short as the credits are, then a 402 that says what to do):

  curl -N http://{proxy}/v1/chat/completions -H "Authorization: Bearer $KEY" \
    -H "Content-Type: application/json" \
    -d '{{"model":"announcer","stream":true,"messages":[{{"role":"user","content":"Hello"}}]}}'

2. What is left, as the customer sees it:

  curl http://{proxy}/faregate/v1/balance -H "Authorization: Bearer $KEY"

3. Run into the 402 at once:

  for i in 1 2 3 4 5 6; do curl -s -o /dev/null -w "%{{http_code}} %header{{x-credits-charged}} %header{{x-credits-remaining}}\n" http://{proxy}/v1/chat/completions \
    -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" -d '{{"model":"announcer","messages":[]}}'; done

4. Buy a credit at a pretend till (nothing is charged; the 402 links to the same address, for a browser), and run the first line again:

  curl -X POST http://{till}/buy

   The same in its two steps, as an app of your own would go: ask for a payment page, and open the "url" that it answers with (or curl -X POST it):

  curl http://{proxy}/faregate/v1/checkout -H "Authorization: Bearer $KEY" -d '{{"pack":"starter"}}'

5. As the operator: give it more, and see every movement:

  cargo run --release -- grant add --account demo --amount 1{flag}
  cargo run --release -- ledger history demo{flag}
"#
    )
}
