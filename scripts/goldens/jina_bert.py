"""Jina Embeddings 2 in PyTorch: `transformers` has no class for it.

Written from the formulas of its published modeling code: no positions; scores q.k / sqrt(d) - slope * |distance| before the
softmax, slopes as in the paper of ALiBi; after the attention x = norm(x + out); then x = norm(x + wo(gelu(gate) * up)), gate and
up the halves of one linear without a bias. Parameters have the published names.
"""

import math

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

MODEL_TYPE = "jina-bert-v2"


class JinaBertConfig(PreTrainedConfig):
    model_type = MODEL_TYPE


def slopes(heads):
    """[heads] in float32: powers of 2^(-8/n) for a power of two n, then every other one of 2n."""
    powers = lambda n: [2 ** (-8 * (i + 1) / n) for i in range(n)]  # noqa: E731
    below = 2 ** math.floor(math.log2(heads))
    values = powers(below) + powers(2 * below)[0::2]
    return torch.tensor(values[:heads], dtype=torch.float32)


def norm(config):
    return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = norm(config)

    def forward(self, ids, types):
        types = torch.zeros_like(ids) if types is None else types
        return self.LayerNorm(self.word_embeddings(ids) + self.token_type_embeddings(types))


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.num_attention_heads
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, config.hidden_size) for _ in range(3))

    def forward(self, x):
        """[texts, tokens, hidden]; no token is padding."""
        split = lambda y: y.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # noqa: E731
        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        places = torch.arange(x.shape[1])
        distance = (places[:, None] - places[None, :]).abs()
        bias = -slopes(self.heads).to(x.dtype)[:, None, None] * distance
        weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias).softmax(-1)
        return (weights @ v).transpose(1, 2).flatten(2)


class SelfOutput(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = norm(config)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.self = SelfAttention(config)
        self.output = SelfOutput(config)

    def forward(self, x):
        return self.output.LayerNorm(self.output.dense(self.self(x)) + x)


class GatedFeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gated_layers = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.wo = nn.Linear(config.intermediate_size, config.hidden_size)
        self.layernorm = norm(config)

    def forward(self, x):
        gate, up = self.gated_layers(x).chunk(2, -1)
        return self.layernorm(self.wo(nn.functional.gelu(gate) * up) + x)


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attention = Attention(config)
        self.mlp = GatedFeedForward(config)

    def forward(self, x):
        return self.mlp(self.attention(x))


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))


class JinaBertModel(PreTrainedModel):
    config_class = JinaBertConfig

    def __init__(self, config):
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.post_init()

    def forward(self, input_ids, token_type_ids=None, attention_mask=None, **_):
        assert attention_mask is None or attention_mask.all()
        x = self.embeddings(input_ids, token_type_ids)
        for layer in self.encoder.layer:
            x = layer(x)
        return BaseModelOutput(last_hidden_state=x)


AutoConfig.register(MODEL_TYPE, JinaBertConfig)
AutoModel.register(JinaBertConfig, JinaBertModel)
