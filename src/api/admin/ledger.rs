//! The ledger as a whole, and the running program.

use http::StatusCode;
use serde::Deserialize;

use crate::api::dto::VerifyJson;
use crate::api::reply::{self, Problem, Reply};

use super::{Admin, Call};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BackupBody {
    file: String,
}

impl Admin {
    pub(super) async fn verify(&self) -> Result<Reply, Problem> {
        Ok(reply::ok(&VerifyJson::from(self.ledger.verify().await?)))
    }

    pub(super) async fn rebuild(&self) -> Result<Reply, Problem> {
        Ok(reply::ok(&VerifyJson::from(self.ledger.rebuild().await?)))
    }

    pub(super) async fn backup(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let body: BackupBody = reply::read(call.request.body())?;
        let done = self.operations.backup(body.file).await?;
        Ok(reply::ok(&serde_json::json!({ "done": done })))
    }

    pub(super) async fn reload(&self) -> Result<Reply, Problem> {
        match self.operations.reload().await? {
            Ok(changes) => Ok(reply::ok(
                &serde_json::json!({ "reloaded": true, "changes": changes }),
            )),
            Err(problems) => {
                let detail = "the configuration is not loaded; the one before goes on";
                let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "config_refused", detail);
                Err(Problem { problems, ..problem })
            }
        }
    }
}
