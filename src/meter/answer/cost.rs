//! What an answer has cost, put into the last usage that its stream tells.

use memchr::memmem::find;

use super::framing::Splitter;
use super::reading::without_members;
use super::{Meter, sse};
use crate::meter::Api;
use crate::meter::json::{Kind, loose};

impl Meter {
    /// A run of whole events, as [`super::Step::Pass`] gives them, with `cost` as a text in the last of those reports that end an answer; `None` where none
    /// does, or its API has no place for it. What the upstream says there of its own is replaced: that is the operator's cost.
    pub fn with_cost(&self, run: &[u8], cost: &str) -> Option<Vec<u8>> {
        find(run, b"\"usage\"")?;
        let mut splitter = Splitter::new(self.setup.framing);
        let (mut at, mut found) = (0, None);
        while at < run.len()
            && let Some(length) = splitter.find(run.get(at..).unwrap_or_default())
        {
            let event = run.get(at..at + length).unwrap_or_default();
            if let Some(told) = told(self.setup.api, event, cost) {
                found = Some((at, at + length, told));
            }
            at += length;
        }
        let (begin, end, told) = found?;
        let (before, behind) = (run.get(..begin)?, run.get(end..)?);
        Some([before, &told, behind].concat())
    }
}

/// The event with what the answer has cost; `None` where it does not tell all usage.
fn told(api: Api, event: &[u8], cost: &str) -> Option<Vec<u8>> {
    let data = sse::event(event).data?;
    let usage = (api.answers().last_usage)(loose(&data).ok()?)?;
    if usage.kind() != Kind::Object {
        return None;
    }
    let others = without_members(usage.raw(), &["cost"])?;
    let others = others.strip_suffix('}')?.trim_end();
    let comma = if others.len() > 1 { "," } else { "" };
    let (span, told) = (usage.span(), format!("{others}{comma}\"cost\":\"{cost}\"}}"));
    let data = [data.get(..span.start)?, told.as_bytes(), data.get(span.end..)?].concat();
    Some(sse::with_data(event, &data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::answer::{Framing, Setup, Shown};

    fn with_cost(api: Api, run: &str) -> Option<String> {
        let meter = Meter::new(Setup {
            api,
            framing: Framing::Sse,
            shown: Shown::All,
            choices: 1,
            keep_words: false,
        });
        let told = meter.with_cost(run.as_bytes(), "0.000018")?;
        Some(String::from_utf8(told).unwrap())
    }

    #[test]
    fn the_last_usage_of_a_run_tells_the_cost_and_all_else_is_as_it_was() {
        let text = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\\"usage\\\"\"},\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":1}}\n\n";
        for (api, before, usage, behind) in [
            (
                Api::OpenAiChat,
                r#"data: {"choices":[],"usage":"#,
                r#"{"prompt_tokens":1"#,
                "}\n\ndata: [DONE]\n\n",
            ),
            (
                Api::OpenAiCompletions,
                r#"data: { "usage" : "#,
                r#"{ "a": {"cost": 2}"#,
                " , \"choices\":[]}\n\n",
            ),
            (
                Api::OpenAiChat,
                r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":"#,
                r#"{"prompt_tokens":1"#,
                "}\n\n",
            ),
            (
                Api::AnthropicMessages,
                "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":",
                r#"{"output_tokens":15"#,
                "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            ),
            (
                Api::OpenAiResponses,
                r#"data: {"type":"response.completed","response":{"status":"completed","usage":"#,
                r#"{"input_tokens":3"#,
                "}}\n\n",
            ),
        ] {
            let run = format!("{text}{before}{usage}}}{behind}");
            let told = format!("{text}{before}{usage},\"cost\":\"0.000018\"}}{behind}");
            assert_eq!(with_cost(api, &run), Some(told), "{run}");
        }
        // What the upstream says that it cost is not for the customer.
        assert_eq!(
            with_cost(Api::OpenAiChat, "data: {\"usage\":{\"cost\":0.95}}\n\n").as_deref(),
            Some("data: {\"usage\":{\"cost\":\"0.000018\"}}\n\n")
        );
    }

    #[test]
    fn what_is_not_the_end_tells_none() {
        for (api, run) in [
            (
                Api::OpenAiChat,
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":null}],"usage":{"a":1}}"#,
            ),
            (Api::OpenAiChat, r#"{"choices":[],"usage":null}"#),
            (
                Api::AnthropicMessages,
                r#"{"type":"message_start","message":{"usage":{"a":1}}}"#,
            ),
            (
                Api::OpenAiResponses,
                r#"{"type":"response.created","response":{"usage":null}}"#,
            ),
            (Api::OllamaChat, r#"{"done":true,"usage":{}}"#),
        ] {
            assert_eq!(with_cost(api, &format!("data: {run}\n\n")), None, "{run}");
        }
        assert_eq!(with_cost(Api::OpenAiChat, "data: [DONE]\n\n"), None);
    }
}
