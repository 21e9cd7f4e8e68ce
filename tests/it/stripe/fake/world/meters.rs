//! Meters, the events they count, and what was wrong with those.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::events::{related, rfc3339};
use super::{Reply, World, text};
use crate::stripe::fake::decimal::Decimal;
use crate::stripe::fake::error::ApiError;

const DAY: i64 = 86_400;
/// How long an identifier is known.
const IDENTIFIER_KNOWN: i64 = DAY;
const PAST_MAX: i64 = 35 * DAY;
const FUTURE_MAX: i64 = 300;
const TEXT_MAX: usize = 100;
/// More digits than this are too many; where exactly Stripe draws the line is not documented.
const DIGITS_MAX: usize = 15;

/// A meter event that was taken, and not looked at yet.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    name: String,
    payload: Value,
    identifier: String,
    timestamp: i64,
    received: i64,
}

/// A meter event that counts.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    pub(crate) meter: String,
    pub(crate) customer: String,
    pub(crate) identifier: String,
    pub(crate) value: Decimal,
    pub(crate) timestamp: i64,
    received: i64,
    /// The finalized invoice that it is on.
    pub(super) invoice: Option<String>,
}

/// Usage of one customer and meter between two times, the later not included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub(super) meter: &'a str,
    pub(super) customer: &'a str,
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Span<'_> {
    pub(super) fn has(&self, usage: &Usage) -> bool {
        usage.meter == self.meter
            && usage.customer == self.customer
            && (self.from..self.to).contains(&usage.timestamp)
    }
}

/// Why an event does not count.
struct Fault {
    meter: Option<Value>,
    code: &'static str,
    message: String,
    identifier: String,
}

impl World {
    /// `POST /v1/billing/meters`.
    pub(crate) fn create_meter(&mut self, asked: &Value) -> Reply {
        let name = text(asked, "event_name");
        let same = |meter: &Value| meter["event_name"] == name.as_str() && meter["status"] == "active";
        if self.all("billing.meter").any(same) {
            return Err(ApiError::invalid("An active meter has that event_name.").param("event_name"));
        }
        let or = |field: &str, usual: Value| match asked.get(field) {
            Some(given) => given.clone(),
            None => usual,
        };
        let meter = self.blank("billing.meter", "mtr", json!({
            "display_name": asked["display_name"], "event_name": name, "status": "active", "updated": self.now,
            "customer_mapping": or("customer_mapping", json!({"event_payload_key": "stripe_customer_id", "type": "by_id"})),
            "default_aggregation": asked["default_aggregation"], "event_time_window": asked["event_time_window"],
            "value_settings": or("value_settings", json!({"event_payload_key": "value"})),
            "status_transitions": {"deactivated_at": null},
        }));
        Ok(self.keep_and_tell(meter, "billing.meter.created"))
    }

    /// Outside: the meter is switched off in the Dashboard.
    pub(crate) fn deactivate_meter(&mut self, meter: &str) {
        let fields = json!({
            "status": "inactive", "updated": self.now, "status_transitions": {"deactivated_at": self.now},
        });
        self.change(meter, fields, "billing.meter.deactivated");
    }

    /// `POST /v1/billing/meter_events`: taken now, judged later.
    pub(crate) fn create_meter_event(&mut self, asked: &Value) -> Reply {
        let name = text(asked, "event_name");
        let identifier = match asked["identifier"].as_str() {
            Some(given) => given.to_owned(),
            None => self.new_id("mevt"),
        };
        for (field, given) in [("event_name", &name), ("identifier", &identifier)] {
            if given.chars().count() > TEXT_MAX {
                return Err(ApiError::invalid("At most 100 characters.").param(field));
            }
        }
        let timestamp = asked["timestamp"].as_i64().unwrap_or(self.now);
        let payload = asked["payload"].clone();
        let answer = json!({
            "object": "billing.meter_event", "created": self.now, "event_name": name, "identifier": identifier,
            "livemode": false, "payload": payload, "timestamp": timestamp,
        });
        let now = self.now;
        self.identifiers
            .retain(|_, received| *received + IDENTIFIER_KNOWN > now);
        if self.identifiers.insert(identifier.clone(), now).is_none() {
            self.taken.push(Taken {
                name,
                payload,
                identifier,
                timestamp,
                received: now,
            });
            self.process_meter_events();
        }
        Ok(answer)
    }

    /// Looks at the meter events that are due.
    pub(super) fn process_meter_events(&mut self) {
        let (now, lag) = (self.now, self.quirks.meter_lag);
        let (due, later) = std::mem::take(&mut self.taken)
            .into_iter()
            .partition(|one| one.received + lag <= now);
        self.taken = later;
        let due: Vec<Taken> = due;
        let mut faults = Vec::new();
        let mut used = BTreeSet::new();
        for one in due {
            match self.judge(&one) {
                Ok(usage) => {
                    used.insert(usage.customer.clone());
                    self.usage.push(usage);
                }
                Err(fault) => faults.push(fault),
            }
        }
        self.report(&faults);
        for customer in used {
            self.raise_alerts(&customer);
            self.bill_thresholds(&customer);
        }
    }

    /// Outside: the merchant archives a meter.
    pub(crate) fn archive_meter(&mut self, meter: &str) {
        self.change(meter, json!({"status": "inactive"}), "billing.meter.deactivated");
    }

    /// When the next meter events are looked at.
    pub(super) fn meters_due(&self) -> Option<i64> {
        self.taken
            .iter()
            .map(|one| one.received + self.quirks.meter_lag)
            .min()
    }

    fn judge(&self, one: &Taken) -> Result<Usage, Fault> {
        let fault = |meter: Option<&Value>, code, message: String| Fault {
            meter: meter.cloned(),
            code,
            message,
            identifier: one.identifier.clone(),
        };
        let named = self.with("billing.meter", "event_name", &one.name);
        let Some(meter) = named
            .iter()
            .find(|meter| meter["status"] == "active")
            .or(named.last())
        else {
            let message = format!("No meter was found matching event_name {}.", one.name);
            return Err(fault(None, "no_meter", message));
        };
        let wrong = |code, message: &str| fault(Some(meter), code, message.to_owned());
        if meter["status"] != "active" {
            return Err(wrong("archived_meter", "The meter is not active."));
        }
        if one.timestamp > one.received + FUTURE_MAX {
            return Err(wrong(
                "timestamp_in_future",
                "The timestamp is more than 5 minutes ahead.",
            ));
        }
        if one.timestamp < one.received - PAST_MAX {
            return Err(wrong(
                "timestamp_too_far_in_past",
                "The timestamp is more than 35 days back.",
            ));
        }
        let key = text(&meter["customer_mapping"], "event_payload_key");
        let Some(customer) = one.payload[&key].as_str() else {
            let message = format!("Customer mapping key {key} not found in payload.");
            return Err(wrong("meter_event_no_customer_defined", &message));
        };
        if self.living_customer(&customer.into()).is_err() {
            return Err(wrong("meter_event_customer_not_found", "No such customer."));
        }
        let value = match self.value_of(meter, one) {
            Ok(value) => value,
            Err((code, message)) => return Err(wrong(code, message)),
        };
        let (meter, customer) = (text(meter, "id"), customer.to_owned());
        let (timestamp, received, identifier) = (one.timestamp, one.received, one.identifier.clone());
        Ok(Usage {
            meter,
            customer,
            identifier,
            value,
            timestamp,
            received,
            invoice: None,
        })
    }

    fn value_of(&self, meter: &Value, one: &Taken) -> Result<Decimal, (&'static str, &'static str)> {
        if meter["default_aggregation"]["formula"] == "count" {
            return Ok(Decimal::whole(1));
        }
        let key = text(&meter["value_settings"], "event_payload_key");
        let given = one.payload[&key].as_str();
        let given = given.ok_or(("meter_event_value_not_found", "There is no value in the payload."))?;
        if given.bytes().filter(u8::is_ascii_digit).count() > DIGITS_MAX {
            return Err((
                "meter_event_value_too_many_digits",
                "The value has too many digits.",
            ));
        }
        Decimal::parse(given).ok_or(("meter_event_invalid_value", "The value is no number."))
    }

    /// One thin event for each meter that had faults.
    fn report(&mut self, faults: &[Fault]) {
        let mut by_meter: BTreeMap<Option<String>, Vec<&Fault>> = BTreeMap::new();
        for fault in faults {
            let meter = fault.meter.as_ref().map(|meter| text(meter, "id"));
            by_meter.entry(meter).or_default().push(fault);
        }
        for faults in by_meter.into_values() {
            let data = self.fault_data(&faults);
            match &faults[0].meter {
                Some(meter) => {
                    self.tell_thin(
                        "v1.billing.meter.error_report_triggered",
                        related(meter),
                        json!({"data": data}),
                    );
                }
                None => self.tell_thin(
                    "v1.billing.meter.no_meter_found",
                    json!({}),
                    json!({"data": data}),
                ),
            }
        }
    }

    fn fault_data(&self, faults: &[&Fault]) -> Value {
        let codes: BTreeSet<&str> = faults.iter().map(|fault| fault.code).collect();
        let types: Vec<Value> = codes
            .iter()
            .map(|code| {
                let own: Vec<&&Fault> = faults.iter().filter(|fault| fault.code == *code).collect();
                let sample = |fault: &&&Fault| json!({"error_message": fault.message, "request": {"identifier": fault.identifier}});
                // Samples are not a complete list.
                let samples: Vec<Value> = own.iter().take(5).map(sample).collect();
                json!({"code": code, "error_count": own.len(), "sample_errors": samples})
            })
            .collect();
        json!({
            "developer_message_summary": format!("There is {} invalid event", faults.len()),
            "reason": {"error_count": faults.len(), "error_types": types},
            "validation_end": rfc3339(self.now), "validation_start": rfc3339(self.now - 10),
        })
    }

    /// `POST /v1/billing/meter_event_adjustments`.
    pub(crate) fn adjust_meter_event(&mut self, asked: &Value) -> Reply {
        let identifier = text(&asked["cancel"], "identifier");
        let now = self.now;
        let may_go = |usage: &Usage| {
            usage.identifier == identifier
                && usage.invoice.is_none()
                && usage.received + IDENTIFIER_KNOWN > now
        };
        if !self.usage.iter().any(may_go) {
            return Err(
                ApiError::invalid("There is no such event to cancel any more.").param("cancel[identifier]")
            );
        }
        self.usage.retain(|usage| !may_go(usage));
        Ok(json!({
            "object": "billing.meter_event_adjustment", "cancel": {"identifier": identifier}, "livemode": false,
            "event_name": asked["event_name"], "status": "complete", "type": "cancel",
        }))
    }

    /// `GET /v1/billing/meters/{id}/event_summaries`.
    pub(crate) fn event_summaries(&self, meter: &str, asked: &Value) -> Reply {
        self.find("billing.meter", meter)?;
        let customer = text(asked, "customer");
        let (start, end) = (
            asked["start_time"].as_i64().unwrap_or(0),
            asked["end_time"].as_i64().unwrap_or(0),
        );
        let window = match asked["value_grouping_window"].as_str() {
            Some("hour") => 3600,
            Some("day") => DAY,
            _ => end - start,
        };
        let grain = if asked["value_grouping_window"].is_null() {
            60
        } else {
            window
        };
        if start % grain != 0 || end % grain != 0 || start >= end {
            return Err(
                ApiError::invalid("Times must be whole minutes (hours, days), and in order.")
                    .param("start_time"),
            );
        }
        let mut summaries = Vec::new();
        let mut from = start;
        while from < end {
            let span = Span {
                meter,
                customer: &customer,
                from,
                to: from + window,
            };
            let used = self.usage.iter().filter(|usage| span.has(usage));
            if let Some(value) = self.aggregate(meter, used) {
                summaries.push(json!({
                    "object": "billing.meter_event_summary", "id": format!("mtrusg_fake_{from}"), "livemode": false,
                    "aggregated_value": value.json(), "meter": meter, "start_time": from, "end_time": from + window,
                }));
            }
            from += window;
        }
        summaries.reverse();
        super::lists::page(
            summaries,
            asked,
            &format!("/v1/billing/meters/{meter}/event_summaries"),
        )
    }

    /// What the meter makes of these; none if there are none.
    pub(super) fn aggregate<'a>(
        &self,
        meter: &str,
        used: impl Iterator<Item = &'a Usage>,
    ) -> Option<Decimal> {
        let used: Vec<&Usage> = used.collect();
        if self.object(meter)["default_aggregation"]["formula"] == "last" {
            return used
                .iter()
                .max_by_key(|usage| usage.timestamp)
                .map(|usage| usage.value);
        }
        (!used.is_empty()).then(|| {
            used.iter()
                .fold(Decimal::default(), |sum, usage| sum.plus(usage.value))
        })
    }

    /// All usage that counts, in the order it was looked at.
    pub(crate) fn usage(&self) -> &[Usage] {
        &self.usage
    }
}
