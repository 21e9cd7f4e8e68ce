//! The bound of what a request reads (P12), on texts of several kinds: never below what tokenizers in use make of it. `cargo bench --bench meter -- bound` prints how far above.

#[path = "../../benches/common/corpus.rs"]
mod corpus;

use faregate::meter::{Api, ask};
use faregate::tokenizer::Tokenizer;

#[test]
fn p12_the_bound_of_a_request_is_never_below_its_tokens_nor_far_above() {
    let tokenizers = [
        ("o200k_base", tiktoken_rs::o200k_base_singleton()),
        ("cl100k_base", tiktoken_rs::cl100k_base_singleton()),
    ];
    let texts = corpus::texts().unwrap();
    assert!(texts.len() >= 7);
    for text in texts {
        assert!(text.bytes() > 2_000, "{} is there", text.kind);
        let body = text.body();
        let asked = ask::read::<&str>(Api::OpenAiChat, &body, &[]).unwrap();
        // Never more than a token for each byte of the body, escapes apart.
        assert!(asked.text <= body.len() as u64, "{}", text.kind);
        for (name, tokenizer) in &tokenizers {
            let tokens = text.tokens(|text| tokenizer.encode_ordinary(text).len()) as u64;
            let own = Tokenizer::load(name).unwrap();
            let counted = asked.refined(&body, |text| own.count(text));
            let of = format!("{} by {name}: {tokens}", text.kind);
            assert!(tokens <= counted && counted <= asked.text, "{of}, {counted}");
            // The widest are indented JSON and code, of long tokens.
            assert!(asked.text <= tokens * 7, "{of}, {}", asked.text);
        }
    }
}
