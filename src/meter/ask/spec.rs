//! How an API's requests are written: tables of the names that mean something. What is not in them passes untouched.

/// A member's name, and what it means.
pub(in crate::meter) type Member = (&'static str, Means);

/// The requests of one API.
pub(in crate::meter) struct Spec {
    /// Members of the body.
    pub(in crate::meter) members: &'static [&'static [Member]],
    /// Members of a message.
    pub(in crate::meter) message: &'static [Member],
    /// Parts of a content that is a list, by their `type`.
    pub(in crate::meter) parts: &'static [Typed],
    /// Items of an `input` that is a list, by their `type`.
    pub(in crate::meter) items: &'static [Typed],
    /// Tools, by their `type`.
    pub(in crate::meter) tools: &'static [Typed],
    /// The limit's name where a body has none.
    pub(in crate::meter) limit: &'static str,
    /// The member that is an object and has the limit in it; none: the body itself.
    pub(in crate::meter) limit_in: Option<&'static str>,
    /// Whether an answer is streamed when nothing is said about it.
    pub(in crate::meter) streams: bool,
    /// Whether anything is written.
    pub(in crate::meter) writes: bool,
    /// Whether `stream_options.include_usage` asks for usage.
    pub(in crate::meter) usage_option: bool,
}

/// What a member means.
#[derive(Clone, Copy)]
pub(in crate::meter) enum Means {
    /// The model's name.
    Model,
    /// Whether the answer is streamed.
    Stream,
    /// An object that says what a stream has in it.
    StreamOptions,
    /// Whether the stream ends with usage.
    IncludeUsage,
    /// Whether each event of the stream has usage.
    ContinuousUsage,
    /// The most tokens to write.
    Limit,
    /// The same; these numbers mean that there is none, as if it were left out.
    Endless(&'static [&'static str]),
    /// The least tokens to write.
    Least,
    /// The most tokens to think: the limit must be above.
    Budget,
    /// How many answers.
    Choices,
    /// A list of messages.
    Messages,
    /// A text, or a list of items.
    Items,
    /// A text, a list of them, a list of tokens, or a list of such lists.
    Prompts,
    /// A text, or a list of parts.
    Content,
    /// A list of tools.
    Tools,
    /// The same; where there are any, the upstream adds so many tokens once.
    ToolsAnd(u64),
    /// How an answer is to be written: some show it to the model.
    Schema,
    /// A list of objects of these types.
    Kinds(&'static [Typed]),
    /// A list of pictures.
    Images,
    /// A list of tokens.
    Tokens,
    /// An object with these members.
    Inside(&'static [Member]),
    /// The same, unless it is something else.
    Within(&'static [Member]),
    /// An object with these members, one of which is the limit.
    Limits(&'static [Member]),
    /// A list of names of what is not in every account yet, some of which is not served unless the route allows it.
    Betas,
    /// Not served unless it says nothing (null, false, an empty text or list) or the route allows it; why.
    Refused(&'static str),
    /// The same, unless it is one of these texts or numbers (or a list of them).
    Only(&'static [&'static str], &'static str),
}

/// An object that says by its `type` what it is. A name that ends in `*` is the beginning of one; an empty one is for objects without a `type`.
pub(in crate::meter) type Typed = (&'static str, Kind);

/// What an object of a type is.
#[derive(Clone, Copy)]
pub(in crate::meter) enum Kind {
    /// What is written in it, and what these members mean.
    Text(&'static [Member]),
    /// A picture, and what these members mean.
    Image(&'static [Member]),
    /// Sound.
    Audio,
    /// A document.
    Document,
    /// A tool of which the upstream tells the model so many tokens more than are in the body.
    Tool(u64),
    /// The name of a tool, which stands for all that is said about it.
    ToolReference,
    /// What a model thought: as it was written, or by reference.
    Thought,
    /// Not served unless the route allows it; why.
    Refused(&'static str),
}

/// Why something is not served unless the route allows it.
pub(in crate::meter) mod why {
    pub(in crate::meter) const HIDDEN: &str =
        "adds input that is not in the body, and so has no price beforehand";
    pub(in crate::meter) const TOOLS: &str =
        "lets the upstream use tools of its own, which cost more than tokens";
    pub(in crate::meter) const DEARER: &str = "makes the answer dearer than its price here";
    pub(in crate::meter) const DEFERRED: &str = "defers the answer to where it would not be counted";
    pub(in crate::meter) const OTHER_MODEL: &str =
        "may have another model answer than the one that is priced";
    pub(in crate::meter) const TEMPLATE: &str = "can make a long input out of few bytes";
    pub(in crate::meter) const ENLARGES: &str = "changes how many tokens pictures or sound are";
    pub(in crate::meter) const FOR_ALL: &str = "has the upstream load or unload the model, for everybody";
    pub(in crate::meter) const QUEUE: &str = "goes before the requests of others";
}
