//! What is to be read: messages, parts, prompts, tools.

use super::path::Path;
use super::reader::Reader;
use super::spec::{Kind, Means, Member, Typed};
use crate::meter::bound;
use crate::meter::json::{Kind as Json, Value};
use crate::meter::problem::{Problem, Quoted};

/// The deepest nesting of contents: a tool's result with a document that has a text needs three.
const NESTED_MAX: usize = 6;

/// Members that a picture, sound or document has its bytes in, or leads to them.
const DATA: &[&str] = &[
    "url",
    "data",
    "file_data",
    "image_url",
    "audio_url",
    "input_audio",
    "file",
    "image",
    "source",
];

/// How the one kind of document begins whose text is not in its bytes as it is: as an address (with and without escapes), and in base64 alone.
const PDF: [&str; 3] = ["data:application/pdf", "data:application\\/pdf", "JVBERi0"];

impl Reader<'_> {
    pub(super) fn messages(&mut self, value: Value<'_>, path: &Path<'_>) -> Result<(), Problem> {
        for (at, message) in list(value, path)? {
            let path = path.index(at);
            if message.kind() != Json::Object {
                return Err(path.problem("must be an object"));
            }
            self.object(message, &[self.spec.message], &path)?;
        }
        Ok(())
    }

    /// A text, or a list of items.
    pub(super) fn items(&mut self, value: Value<'_>, path: &Path<'_>) -> Result<(), Problem> {
        if value.kind() == Json::String {
            return Ok(());
        }
        for (at, item) in list(value, path)? {
            self.part(self.spec.items, item, &path.index(at))?;
        }
        Ok(())
    }

    /// A text, or a list of parts, or one.
    pub(super) fn content(&mut self, value: Value<'_>, path: &Path<'_>) -> Result<(), Problem> {
        if self.nested >= NESTED_MAX {
            return Err(path.problem(format_args!("is nested deeper than {NESTED_MAX} contents")));
        }
        self.nested += 1;
        let read = self.parts(value, path);
        self.nested -= 1;
        read
    }

    fn parts(&mut self, value: Value<'_>, path: &Path<'_>) -> Result<(), Problem> {
        match value.kind() {
            Json::String | Json::Null => Ok(()),
            Json::Object => self.part(self.spec.parts, value, path),
            Json::Array => value
                .items()
                .enumerate()
                .try_for_each(|(at, part)| self.part(self.spec.parts, part, &path.index(at))),
            Json::Bool | Json::Number => Err(path.problem("must be a text or a list of parts")),
        }
    }

    fn part(&mut self, table: &[Typed], part: Value<'_>, path: &Path<'_>) -> Result<(), Problem> {
        match part.kind() {
            Json::String => return Ok(()),
            Json::Object => {}
            _ => return Err(path.problem("must be an object")),
        }
        match self.kind(table, part, path)? {
            Kind::Text(members) => self.object(part, &[members], path)?,
            Kind::Image(members) => {
                self.object(part, &[members], path)?;
                self.asked.images += 1;
                self.data(part, 0, |_| true);
            }
            Kind::Audio => {
                self.asked.audios += 1;
                self.data(part, 0, |_| true);
            }
            Kind::Document => self.document(part, path)?,
            Kind::ToolReference => self.tool_references += 1,
            Kind::Thought => self.thought(part, path)?,
            // Taken care of where the kind is looked up.
            Kind::Tool(_) | Kind::Refused(_) => {}
        }
        Ok(())
    }

    /// A document: in the body as text or parts, or in bytes, by id or by address.
    fn document(&mut self, part: Value<'_>, path: &Path<'_>) -> Result<(), Problem> {
        let source = part.get("source");
        let kind = source
            .and_then(|source| source.get("type"))
            .and_then(|kind| kind.str());
        match (kind.as_deref(), source) {
            (Some("text"), _) => return Ok(()),
            (Some("content"), Some(source)) => {
                const CONTENT: &[Member] = &[("content", Means::Content)];
                return self.object(source, &[CONTENT], &path.name("source"));
            }
            _ => {}
        }
        self.asked.documents += 1;
        // Others have their text in them, in base64 at most: that counts as text too.
        self.data(part, 0, |data| PDF.iter().any(|pdf| data.starts_with(pdf)));
        Ok(())
    }

    /// Takes a part's data out of what is counted as text.
    fn data(&mut self, part: Value<'_>, depth: usize, is_apart: fn(&str) -> bool) {
        for (name, value) in part.members() {
            if !DATA.contains(&name.as_ref()) {
                continue;
            }
            match value.kind() {
                Json::String if is_apart(value.inner()) => self.apart(value),
                Json::Object if depth == 0 => self.data(value, depth + 1, is_apart),
                _ => {}
            }
        }
    }

    /// What a model thought is input again; by reference alone nobody knows how much.
    fn thought(&mut self, item: Value<'_>, path: &Path<'_>) -> Result<(), Problem> {
        let says = |value: Value<'_>| {
            matches!(value.kind(), Json::String | Json::Array) && !value.inner().trim_ascii().is_empty()
        };
        let is_there = |name| item.get(name).is_some_and(says);
        if is_there("encrypted_content") || is_there("content") || self.allows_type("reasoning") {
            return Ok(());
        }
        Err(path.problem(
            "is known by its id alone, so it has no price beforehand: leave it out, or ask for it with `include: [\"reasoning.encrypted_content\"]`",
        ))
    }

    pub(super) fn tools(&mut self, value: Value<'_>, path: &Path<'_>) -> Result<(), Problem> {
        for (at, tool) in list(value, path)? {
            let path = path.index(at);
            if tool.kind() != Json::Object {
                return Err(path.problem("must be an object"));
            }
            self.asked.tools += 1;
            let known = match self.kind(self.spec.tools, tool, &path)? {
                Kind::Tool(tokens) => tokens,
                _ => 0,
            };
            self.listed = self.listed.saturating_add(known);
            self.longest_tool = self.longest_tool.max(self.rewritten(tool).saturating_add(known));
        }
        Ok(())
    }

    /// The same; where there are any, the upstream adds so many tokens once.
    pub(super) fn tools_and(&mut self, once: u64, value: Value<'_>, path: &Path<'_>) -> Result<(), Problem> {
        if value.items().next().is_some() {
            self.listed = self.listed.saturating_add(once);
        }
        self.tools(value, path)
    }

    /// Counts what may be written anew for the model. How many tokens that is at most.
    pub(super) fn rewritten(&mut self, value: Value<'_>) -> u64 {
        let tokens = bound::of_tool(value.raw());
        self.listed = self.listed.saturating_add(tokens);
        self.apart.push(value.span());
        tokens
    }

    /// A list of objects that are of known types.
    pub(super) fn kinds(
        &mut self,
        table: &[Typed],
        value: Value<'_>,
        path: &Path<'_>,
    ) -> Result<(), Problem> {
        list(value, path)?.try_for_each(|(at, object)| self.part(table, object, &path.index(at)))
    }

    pub(super) fn images(&mut self, value: Value<'_>, path: &Path<'_>) -> Result<(), Problem> {
        for (at, image) in list(value, path)? {
            if image.kind() != Json::String {
                return Err(path.index(at).problem("must be a text"));
            }
            self.asked.images += 1;
            self.apart(image);
        }
        Ok(())
    }

    /// A list of tokens.
    pub(super) fn tokens(&mut self, value: Value<'_>, path: &Path<'_>) -> Result<(), Problem> {
        for (at, token) in list(value, path)? {
            if token.plain_u64().is_none() {
                return Err(path.index(at).problem(format_args!(
                    "must be a token's number, not {}",
                    Quoted(token.raw())
                )));
            }
            self.listed += 1;
        }
        self.apart(value);
        Ok(())
    }

    /// How many prompts there are.
    pub(super) fn prompts(&mut self, value: Value<'_>, path: &Path<'_>) -> Result<u64, Problem> {
        if value.kind() == Json::String {
            return Ok(1);
        }
        // What is not a list of any kind is told so by `list`.
        let first = list(value, path)?.next().map(|(_, first)| first.kind());
        if first == Some(Json::Number) {
            self.tokens(value, path)?;
            return Ok(1);
        }
        let mut prompts = 0;
        for (at, prompt) in list(value, path)? {
            prompts += 1;
            match prompt.kind() {
                Json::String => {}
                Json::Array => self.tokens(prompt, &path.index(at))?,
                _ => return Err(path.index(at).problem("must be a text or a list of tokens")),
            }
        }
        Ok(prompts.max(1))
    }

    fn apart(&mut self, value: Value<'_>) {
        let span = value.span();
        self.apart.push(span.start + 1..span.end.saturating_sub(1));
    }
}

/// The values of an array, numbered; of nothing, none.
fn list<'a>(
    value: Value<'a>,
    path: &Path<'_>,
) -> Result<impl Iterator<Item = (usize, Value<'a>)> + use<'a>, Problem> {
    match value.kind() {
        Json::Array | Json::Null => Ok(value.items().enumerate()),
        _ => Err(path.problem("must be a list")),
    }
}
