"""The tiny encoders that `encoders.py` makes: their configurations, and what published files call otherwise."""

import torch

VOCAB = 173
WORD_PIECES = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
BYTE_LEVEL = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
SMALL = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "layer_norm_eps": 1e-12,
}
# name -> configuration, special tokens, pooling, GGUF architecture
ENCODERS = {
    "bert": (SMALL | {"type_vocab_size": 2, "pad_token_id": 0}, WORD_PIECES, "mean", "bert"),
    "roberta": (SMALL | {"type_vocab_size": 1, "pad_token_id": 1, "layer_norm_eps": 1e-5}, BYTE_LEVEL, "cls", "bert"),
    "xlm-roberta": (SMALL | {"type_vocab_size": 1, "pad_token_id": 1, "layer_norm_eps": 1e-5}, BYTE_LEVEL, "cls", None),
    "distilbert": (
        {
            "vocab_size": VOCAB,
            "dim": 32,
            "hidden_dim": 44,
            "n_layers": 2,
            "n_heads": 4,
            "max_position_embeddings": 64,
            "pad_token_id": 0,
        },
        WORD_PIECES,
        "mean",
        "bert",
    ),
    "mpnet": (
        SMALL | {"pad_token_id": 1, "relative_attention_num_buckets": 32, "max_position_embeddings": 200},
        BYTE_LEVEL,
        "mean",
        None,
    ),
    "modernbert": (
        {key: value for key, value in SMALL.items() if key != "layer_norm_eps"}
        | {
            "num_hidden_layers": 4,
            "local_attention": 9,
            "global_attn_every_n_layers": 3,
            "pad_token_id": 1,
            "cls_token_id": 0,
            "sep_token_id": 2,
        },
        BYTE_LEVEL,
        "cls",
        "modern-bert",
    ),
    "nomic_bert": (SMALL | {"type_vocab_size": 2, "pad_token_id": 0}, WORD_PIECES, "mean", "nomic-bert"),
    "gte": (SMALL | {"type_vocab_size": 1, "pad_token_id": 1}, BYTE_LEVEL, "cls", None),
    "new": (SMALL | {"model_type": "gte", "type_vocab_size": 0, "pad_token_id": 0}, WORD_PIECES, "cls", None),
    "eurobert": (
        {key: value for key, value in SMALL.items() if key != "layer_norm_eps"}
        | {"num_key_value_heads": 2, "rms_norm_eps": 1e-5, "pad_token_id": 1, "mask_token_id": 4, "rope_theta": 250000.0},
        BYTE_LEVEL,
        "mean",
        "eurobert",
    ),
    "jina-bert-v2": (
        SMALL
        | {
            "hidden_size": 48,
            "num_attention_heads": 6,  # no power of two: its slopes come from two rows of them
            "max_position_embeddings": 128,
            "type_vocab_size": 2,
            "pad_token_id": 0,
        },
        WORD_PIECES,
        "mean",
        "jina-bert-v2",
    ),
    "embeddinggemma": (
        {key: value for key, value in SMALL.items() if key != "layer_norm_eps"}
        | {
            "model_type": "gemma3_text",
            "use_bidirectional_attention": True,
            "num_hidden_layers": 3,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "num_key_value_heads": 1,
            "head_dim": 12,
            "query_pre_attn_scalar": 12,
            "sliding_window": 9,
            "rms_norm_eps": 1e-6,
            "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0,
            "pad_token_id": 1,
        },
        BYTE_LEVEL,
        "mean",
        "gemma-embedding",
    ),
}
# What published files say, which `transformers` does not read: its own words for the same are in the configuration above.
NTK = {"factor": 2.0, "rope_theta": 500.0}
ENCODERS["new"][0]["rope_parameters"] = {
    "rope_type": "linear",
    "factor": NTK["factor"] ** (2 / 8),  # of 8 dimensions a head
    "rope_theta": NTK["factor"] * NTK["rope_theta"],
}
PUBLISHED = {
    "new": {"model_type": "new", "rope_theta": NTK["rope_theta"], "rope_scaling": {"type": "ntk", "factor": NTK["factor"]}},
    "jina-bert-v2": {
        "model_type": "bert",
        "architectures": ["JinaBertForMaskedLM"],
        "position_embedding_type": "alibi",
        "feed_forward_type": "geglu",
        "emb_pooler": "mean",
    },
}
PUBLISHED_PREFIX = {"new": "new."}
# Linear steps behind the pooling: (outputs, bias, activation).
DENSE = {
    "mpnet": [(20, True, torch.nn.Tanh())],
    "embeddinggemma": [(96, False, torch.nn.Identity()), (32, False, torch.nn.Identity())],
}
# What their configurations say, or leave to a default.
ROPE_BASES = {"modernbert": 160000.0, "nomic_bert": 1000.0, "eurobert": 250000.0, "embeddinggemma": 1000000.0}
# Beyond the farthest bucket of distances.
LONG = {"mpnet": (1, 7, 150), "jina-bert-v2": (1, 7, 110)}
