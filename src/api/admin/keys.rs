//! Keys of an account.

use http::StatusCode;
use serde::Deserialize;

use crate::api::dto::{KeyJson, LimitsJson, PageJson, instant};
use crate::api::reply::{self, Problem, Reply};
use crate::domain::ids::KeyId;
use crate::service::keys::{self, KeyOptions, SecretKey};

use super::{Admin, Call};

/// The longest name of a key, in bytes.
const NAME_MAX: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    expires_at: Option<String>,
    #[serde(default)]
    limits: LimitsJson,
}

impl Admin {
    pub(super) async fn list_keys(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let account = call.account()?;
        let keys = self.ledger.keys(&account).await?;
        Ok(reply::ok(&PageJson {
            items: keys.iter().map(KeyJson::from).collect(),
            next: None,
        }))
    }

    pub(super) async fn create_key(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let account = call.account()?;
        let body: KeyBody = reply::read(call.request.body())?;
        if body.name.as_ref().is_some_and(|name| name.len() > NAME_MAX) {
            return Err(Problem::invalid(format!("`name` has at most {NAME_MAX} bytes")));
        }
        let options = KeyOptions {
            name: body.name.as_deref().map(Into::into),
            expires_at: body
                .expires_at
                .as_deref()
                .map(|text| instant("expires_at", text))
                .transpose()?,
            limits: body.limits.limits()?,
        };
        let (key, imported) = match &body.key {
            None => (SecretKey::generate(&self.entropy), false),
            Some(text) => {
                let key =
                    SecretKey::import(text).map_err(|error| Problem::invalid(format!("`key`: {error}")))?;
                (key, true)
            }
        };
        keys::put(&self.ledger, &account, &key, options, &call.by).await?;
        let mut shown = serde_json::json!({ "id": key.id().as_str(), "account": account.as_str() });
        if !imported {
            // Shown here and never again: only its digest is stored.
            shown["key"] = key.reveal().into();
        }
        Ok(reply::json(StatusCode::CREATED, &shown))
    }

    pub(super) async fn revoke_key(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let account = call.account()?;
        let id = KeyId::new(call.segment(1))
            .map_err(|error| Problem::invalid(format!("the key's id: {error}")))?;
        keys::revoke(&self.ledger, &account, &id, &call.by).await?;
        let keys = self.ledger.keys(&account).await?;
        let key = keys
            .iter()
            .find(|key| key.id == id)
            .ok_or_else(|| Problem::not_found("such key in this account"))?;
        Ok(reply::ok(&KeyJson::from(key)))
    }
}
