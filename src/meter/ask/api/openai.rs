//! What the APIs after OpenAI's have in common, with the dialects of vLLM, SGLang, TGI, llama.cpp and hosted ones.

use crate::meter::ask::spec::{Kind, Means, Member, Typed, why};

/// Members of the body.
pub(super) const COMMON: &[Member] = &[
    ("model", Means::Model),
    ("stream", Means::Stream),
    ("stream_options", Means::StreamOptions),
    // llama.cpp and LM Studio: no limit.
    ("max_tokens", Means::Endless(&["-1"])),
    ("max_completion_tokens", Means::Limit),
    ("max_output_tokens", Means::Limit),
    ("max_new_tokens", Means::Limit),
    ("max_tokens_to_sample", Means::Limit),
    // llama.cpp: goes before `max_tokens`.
    ("n_predict", Means::Endless(&["-1", "-2"])),
    ("num_predict", Means::Limit),
    ("response_format", Means::Schema),
    ("n", Means::Choices),
    ("best_of", Means::Choices),
    ("n_cmpl", Means::Choices),
    ("num_choices", Means::Choices),
    ("num_return_sequences", Means::Choices),
];

/// Members of hosted APIs that are not served unless the route allows them.
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
    ("prompt_mode", Means::Refused(why::HIDDEN)),
    ("safe_prompt", Means::Refused(why::HIDDEN)),
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
];

/// Members that vLLM, SGLang or llama.cpp know, whichever API they serve.
pub(super) const SERVERS: &[Member] = &[
    ("min_tokens", Means::Least),
    ("chat_template_kwargs", Means::Inside(TEMPLATE_ARGUMENTS)),
    ("chat_template", Means::Refused(why::TEMPLATE)),
    ("prompt_embeds", Means::Refused(why::HIDDEN)),
    // SGLang: what was said before in a session.
    ("session_params", Means::Refused(why::HIDDEN)),
    ("session_id", Means::Refused(why::HIDDEN)),
    // vLLM: what another server has read or seen.
    ("kv_transfer_params", Means::Refused(why::HIDDEN)),
    ("ec_transfer_params", Means::Refused(why::HIDDEN)),
    // llama.cpp, the older one and the newer one.
    ("image_data", Means::Refused(why::HIDDEN)),
    ("multimodal_data", Means::Refused(why::HIDDEN)),
    ("multi_modal_data", Means::Refused(why::HIDDEN)),
    ("lora_path", Means::Refused(why::OTHER_MODEL)),
    ("lora", Means::Refused(why::OTHER_MODEL)),
    // llama.cpp: whose place is taken; and with it what was said there.
    ("id_slot", Means::Only(&["-1"], why::QUEUE)),
    ("slot_id", Means::Only(&["-1"], why::QUEUE)),
    // vLLM, SGLang.
    ("priority", Means::Only(&["0"], why::QUEUE)),
    ("mm_processor_kwargs", Means::Refused(why::ENLARGES)),
    ("media_io_kwargs", Means::Refused(why::ENLARGES)),
    ("images_config", Means::Refused(why::ENLARGES)),
    ("max_dynamic_patch", Means::Refused(why::ENLARGES)),
    ("min_dynamic_patch", Means::Refused(why::ENLARGES)),
    ("use_audio_in_video", Means::Refused(why::ENLARGES)),
];

/// vLLM hands these on to the template's engine, by name.
const TEMPLATE_ARGUMENTS: &[Member] = &[("chat_template", Means::Refused(why::TEMPLATE))];

/// SGLang lets a picture say how many tokens it is, and that it is a film.
const PICTURE: &[Member] = &[
    ("image_url", Means::Within(PICTURE_URL)),
    ("modalities", Means::Only(&["image"], why::ENLARGES)),
];

const PICTURE_URL: &[Member] = &[
    ("max_dynamic_patch", Means::Refused(why::ENLARGES)),
    ("min_dynamic_patch", Means::Refused(why::ENLARGES)),
];

/// Members of chat completions that embeddings of messages have too.
pub(super) const CHAT: &[Member] = &[
    ("messages", Means::Messages),
    ("tools", Means::Tools),
    ("functions", Means::Tools),
    // SGLang: the messages as tokens.
    ("input_ids", Means::Tokens),
];

/// Members of a message.
pub(super) const MESSAGE: &[Member] = &[
    ("content", Means::Content),
    ("tools", Means::Tools),
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
    ("reasoning", Kind::Text(&[])),
    ("tool_reference", Kind::ToolReference),
    ("image_url", Kind::Image(PICTURE)),
    ("input_image", Kind::Image(&[])),
    ("image", Kind::Image(&[])),
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
