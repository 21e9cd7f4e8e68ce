"""Writes a llama model with random weights, and a tokenizer whose tokens are bytes: `tiny_model.py FILE`. The same file each time.

Only printable ASCII comes out of it, so that a token is a byte of text; and now and then the end.
"""

import sys

import gguf
import numpy

WIDTH, LAYERS, HEADS, FEED, CONTEXT = 64, 2, 4, 128, 2048

# Three that every such tokenizer has, the bytes, and the mark that stands for a space.
SPECIAL = [("<unk>", gguf.TokenType.UNKNOWN), ("<s>", gguf.TokenType.CONTROL), ("</s>", gguf.TokenType.CONTROL)]
BYTES = [(f"<0x{byte:02X}>", gguf.TokenType.BYTE) for byte in range(256)]
TOKENS = SPECIAL + BYTES + [("\u2581", gguf.TokenType.NORMAL)]
END = 2


def write(path):
    chance = numpy.random.default_rng(7)

    def random(rows, columns, scale):
        return (chance.standard_normal((rows, columns)) * scale).astype(numpy.float32)

    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny")
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(FEED)
    out.add_head_count(HEADS)
    out.add_head_count_kv(HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(WIDTH // HEADS)
    out.add_vocab_size(len(TOKENS))
    out.add_tokenizer_model("llama")
    out.add_token_list([text for text, _ in TOKENS])
    out.add_token_scores([0.0] * len(TOKENS))
    out.add_token_types([int(kind) for _, kind in TOKENS])
    out.add_unk_token_id(0)
    out.add_bos_token_id(1)
    out.add_eos_token_id(END)
    out.add_add_bos_token(True)
    out.add_add_space_prefix(False)

    # A row of zeros is never among the likeliest.
    spoken = numpy.zeros((len(TOKENS), WIDTH), dtype=numpy.float32)
    for token in [END] + [len(SPECIAL) + byte for byte in range(0x20, 0x7F)]:
        spoken[token] = random(1, WIDTH, 0.25)
    one = numpy.ones(WIDTH, dtype=numpy.float32)
    out.add_tensor("token_embd.weight", random(len(TOKENS), WIDTH, 1.0))
    out.add_tensor("output_norm.weight", one)
    out.add_tensor("output.weight", spoken)
    for layer in range(LAYERS):
        name = f"blk.{layer}."
        out.add_tensor(name + "attn_norm.weight", one)
        out.add_tensor(name + "ffn_norm.weight", one)
        for part in ["attn_q", "attn_k", "attn_v", "attn_output"]:
            out.add_tensor(f"{name}{part}.weight", random(WIDTH, WIDTH, WIDTH**-0.5))
        out.add_tensor(name + "ffn_gate.weight", random(FEED, WIDTH, WIDTH**-0.5))
        out.add_tensor(name + "ffn_up.weight", random(FEED, WIDTH, WIDTH**-0.5))
        out.add_tensor(name + "ffn_down.weight", random(WIDTH, FEED, FEED**-0.5))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    write(sys.argv[1])
