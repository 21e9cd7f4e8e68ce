//! `report:evt_1`: usage that Stripe could not count. The operator hears of it; what was used stays used here.

use serde::{Deserialize, Serialize};

use crate::ledger::memos::MemoName;
use crate::stripe::api;
use crate::stripe::facts::{Fact, Telling};

use super::memo::{Alarm, Done, Parked, Rules, Want};

/// What is remembered of such a report.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportMemo {
    /// A notification came, which does not say what is wrong.
    pub noticed: bool,
    /// What Stripe could not count: why, how many reports, an example.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<(String, i64, String)>>,
    /// The operator was told.
    pub told: bool,
}

impl ReportMemo {
    pub(super) fn hear(&mut self, telling: &Telling) {
        if let Fact::Report(report) = &telling.fact {
            let errors = report.errors.iter();
            let errors = errors.map(|error| (error.code.clone(), error.count, error.sample.clone()));
            self.errors = Some(errors.collect());
        }
    }

    pub(super) fn next(&mut self, name: &MemoName, rules: &Rules) -> Result<Option<Want>, Parked> {
        if self.told || !self.noticed {
            return Ok(None);
        }
        match &self.errors {
            Some(errors) => Ok(Some(Want::Alarm(Alarm::Usage(errors.clone())))),
            None if rules.api => {
                let call = api::get_thin_event(name.id()).map_err(|error| error.to_string())?;
                Ok(Some(Want::Look(call)))
            }
            None => Err(
                "Stripe could not count some of what was reported as used; without `api_key` it cannot be asked what"
                    .to_owned(),
            ),
        }
    }

    pub(super) fn note(&mut self, want: &Want, _: Done) {
        self.told |= matches!(want, Want::Alarm(_));
    }
}
