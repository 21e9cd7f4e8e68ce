//! Names of headers, as the file gives them.

use http::HeaderName;

use super::context::Placed;
use super::section::Section;

/// What a header is named for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// A client's key comes in it.
    Key,
    /// It is added to requests to an upstream.
    Add,
    /// It is taken out of an upstream's answers.
    Strip,
    /// It is read from an upstream's answers.
    Cost,
}

/// Headers that frame a message or belong to one connection: they are the proxy's own.
const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// A name that may be used so, or `None` with a problem.
pub(super) fn name(s: &Section<'_>, text: &Placed<String>, used: Use) -> Option<HeaderName> {
    let Ok(name) = HeaderName::try_from(&text.value) else {
        let what = format!("{:?} is not the name of a header", text.value);
        s.problem(&text.place, what, "use letters, digits and `-`");
        return None;
    };
    let content = used != Use::Add && name == "content-type";
    if FRAMING.contains(&name.as_str()) || content || (used == Use::Key && name == "cookie") {
        let advice = match used {
            Use::Key => "choose another header, such as \"x-api-key\"",
            Use::Add => "take it out: it is set for each request",
            Use::Strip => "take it out: answers cannot do without it",
            Use::Cost => "choose another header, such as \"x-credits-used\"",
        };
        s.problem(
            &text.place,
            format!("the header {name} cannot be used here"),
            advice,
        );
        return None;
    }
    Some(name)
}

/// Names that may be used so, each once.
pub(super) fn names(s: &Section<'_>, texts: Vec<Placed<String>>, used: Use) -> Vec<HeaderName> {
    let mut names = Vec::with_capacity(texts.len());
    for text in texts {
        let Some(name) = name(s, &text, used) else {
            continue;
        };
        if names.contains(&name) {
            s.problem(&text.place, format!("{name} is named twice"), "name it once");
        } else {
            names.push(name);
        }
    }
    names
}
