//! What the APIs after OpenAI's have in common, with the dialects of vLLM, SGLang, TGI, llama.cpp and hosted ones.

use crate::meter::ask::spec::{Kind, Means, Member, Typed, why};

/// Members of the body.
pub(super) const COMMON: &[Member] = &[
    ("model", Means::Model),
    ("stream", Means::Stream),
    ("stream_options", Means::StreamOptions),
    ("max_tokens", Means::Limit),
    ("max_completion_tokens", Means::Limit),
    ("max_output_tokens", Means::Limit),
    ("max_new_tokens", Means::Limit),
    ("max_tokens_to_sample", Means::Limit),
    // llama.cpp: goes before `max_tokens`.
    ("n_predict", Means::Limit),
    ("num_predict", Means::Limit),
    ("min_tokens", Means::Least),
    ("n", Means::Choices),
    ("best_of", Means::Choices),
    ("n_cmpl", Means::Choices),
    ("num_choices", Means::Choices),
    ("num_return_sequences", Means::Choices),
    ("chat_template_kwargs", Means::Inside(TEMPLATE_ARGUMENTS)),
];

/// vLLM hands these on to the template's engine, by name.
const TEMPLATE_ARGUMENTS: &[Member] = &[("chat_template", Means::Refused(why::TEMPLATE))];

/// Members that are not served unless the route allows them.
pub(super) const REFUSED: &[Member] = &[
    ("background", Means::Refused(why::DEFERRED)),
    ("deferred", Means::Refused(why::DEFERRED)),
    ("service_tier", Means::Only(&["auto", "default"], why::DEARER)),
    // Predicted tokens that do not come true are billed as written ones, on top of the limit.
    ("prediction", Means::Refused(why::DEARER)),
    ("modalities", Means::Only(&["text"], why::DEARER)),
    ("previous_response_id", Means::Refused(why::HIDDEN)),
    ("conversation", Means::Refused(why::HIDDEN)),
    ("context_management", Means::Refused(why::HIDDEN)),
    ("prompt_embeds", Means::Refused(why::HIDDEN)),
    ("prompt_mode", Means::Refused(why::HIDDEN)),
    ("safe_prompt", Means::Refused(why::HIDDEN)),
    ("session_params", Means::Refused(why::HIDDEN)),
    ("kv_transfer_params", Means::Refused(why::HIDDEN)),
    ("image_data", Means::Refused(why::HIDDEN)),
    ("multimodal_data", Means::Refused(why::HIDDEN)),
    ("multi_modal_data", Means::Refused(why::HIDDEN)),
    ("data_sources", Means::Refused(why::HIDDEN)),
    ("enhancements", Means::Refused(why::HIDDEN)),
    ("web_search_options", Means::Refused(why::TOOLS)),
    ("search_parameters", Means::Refused(why::TOOLS)),
    ("search_settings", Means::Refused(why::TOOLS)),
    ("enable_search", Means::Refused(why::TOOLS)),
    ("plugins", Means::Refused(why::TOOLS)),
    ("mcp_servers", Means::Refused(why::TOOLS)),
    ("provider", Means::Refused(why::OTHER_MODEL)),
    ("models", Means::Refused(why::OTHER_MODEL)),
    ("fallbacks", Means::Refused(why::OTHER_MODEL)),
    ("route", Means::Refused(why::OTHER_MODEL)),
    ("lora_path", Means::Refused(why::OTHER_MODEL)),
    ("chat_template", Means::Refused(why::TEMPLATE)),
    ("mm_processor_kwargs", Means::Refused(why::ENLARGES)),
    ("media_io_kwargs", Means::Refused(why::ENLARGES)),
];

/// Members of chat completions that embeddings of messages have too.
pub(super) const CHAT: &[Member] = &[
    ("messages", Means::Messages),
    ("tools", Means::Tools),
    ("functions", Means::Tools),
];

/// Members of a message.
pub(super) const MESSAGE: &[Member] = &[
    ("content", Means::Content),
    // Sound that the model has made before, by its id.
    ("audio", Means::Refused(why::HIDDEN)),
];

/// Parts of a message.
pub(super) const PARTS: &[Typed] = &[
    ("text", Kind::Text(&[])),
    ("input_text", Kind::Text(&[])),
    ("output_text", Kind::Text(&[])),
    ("refusal", Kind::Text(&[])),
    ("thinking", Kind::Text(&[])),
    ("image_url", Kind::Image),
    ("input_image", Kind::Image),
    ("image", Kind::Image),
    ("input_audio", Kind::Audio),
    ("audio_url", Kind::Audio),
    ("file", Kind::Document),
    ("input_file", Kind::Document),
];

/// Tools: the client's own ones.
pub(super) const TOOLS: &[Typed] = &[
    ("", Kind::Text(&[])),
    ("function", Kind::Text(&[])),
    ("custom", Kind::Text(&[])),
];
