"""What every part of a model gives for a text, by hooks of `transformers` in float64: test/fixtures/traces/<name>.json.

One model of each kind of layer: SmolLM2 (Llama), windows, experts, delta nets, an encoder. Of each tensor of a trace a file
holds the shape and the values at `places`; of decoders also the logit lens and, of one logit, what each part of the model
adds to it. Refuses a model whose attention is not in the usual function of its module.
"""

import json
import math
import re
import sys
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from transformers import AutoModel, AutoModelForCausalLM

from fixture import tensor, versions, write_json
from gguf_model import GgufFile
from reference import error, no_float32, to_float64
from smollm2 import packaged_gguf

SEED = 20261301
# Longer than the windows of 20.
TOKENS = 26
SMOLLM2_TEXT = "The cat sat on the mat because it was tired, and"
FAMILIES = ("mistral", "gemma3_text", "mixtral", "qwen3_5_text")
ENCODERS = ("bert",)
# Values of a tensor, and of one of SmolLM2, which has thirty layers.
SAMPLED, SAMPLED_OF_MANY = 64, 16
LENS = 3
LENS_POSITIONS = 4


def places(size, most):
    """All, or as many spread over the whole by the golden ratio, so that no axis is passed over."""
    if size <= most:
        return range(size)
    return [math.floor(math.modf((i + 1) * 0.6180339887498949)[0] * size) for i in range(most)]


def heads_of(values, heads):
    """[tokens, heads * dim] as [heads, tokens, dim]"""
    return values.reshape(values.shape[0], heads, -1).transpose(0, 1)


def whole(value):
    value = value[0] if isinstance(value, tuple) else value
    return value[0] if value.dim() == 3 else value


class Recorder:
    """Hooks of a model; `values` has what they saw of the last text, by the names of a trace."""

    def __init__(self, model):
        self.model, self.values = model, {}
        self.modules = dict(model.named_modules())
        self.layer_of = {
            id(module): int(found[1]) for name, module in self.modules.items() if (found := re.search(r"\.(\d+)\.", name))
        }

    def on(self, module, name, take=lambda given, made: whole(made)):
        """take(first input, output) -> the tensor `name`"""

        def hook(_module, args, kwargs, made):
            given = args[0] if args else kwargs["hidden_states"]
            self.values[name] = take(given, made).clone()

        module.register_forward_hook(hook, with_kwargs=True)

    def on_input(self, module, name):
        self.on(module, name, lambda given, made: whole(given))

    @contextmanager
    def attention(self):
        """Meanwhile the attention functions of the model's modules tell what they are given and give."""
        sources = {sys.modules[type(module).__module__] for module in self.modules.values()}
        sources = [source for source in sources if hasattr(source, "eager_attention_forward")]
        assert sources
        kept = [source.eager_attention_forward for source in sources]
        for source, function in zip(sources, kept):
            source.eager_attention_forward = self.told(function)
        try:
            yield
        finally:
            for source, function in zip(sources, kept):
                source.eager_attention_forward = function

    def told(self, function):
        def attend(module, query, key, value, mask, *args, **kwargs):
            out, weights = function(module, query, key, value, mask, *args, **kwargs)
            scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
            keys = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
            scores = query @ keys.transpose(2, 3) * scale
            if mask is not None:
                scores = torch.where(mask > -1e30, scores, 0.0)
            at = f"layers.{self.layer_of[id(module)]}."
            parts = {"q_rotated": query, "k_rotated": key, "scores": scores, "weights": weights}
            parts["attended"] = out.transpose(1, 2)
            self.values |= {at + name: part[0].clone() for name, part in parts.items()}
            return out, weights

        return attend

    @torch.no_grad()
    def run(self, ids):
        """What the model gives, and everything on the way."""
        self.values = {}
        with self.attention():
            made = self.model(torch.tensor([ids]), **({} if self.is_encoder() else {"use_cache": False}))
        if not self.is_encoder():
            self.values["logits"] = made.logits[0].clone()
        return dict(self.values)

    def is_encoder(self):
        return not hasattr(self.model, "lm_head")


def embedding_of(recorder, module, first_layer):
    """Rows of the table as they are; and what the first layer reads."""
    recorder.on(module, "token_embed", lambda given, made: module.weight[given[0]])
    recorder.on_input(first_layer, "embed")


def watch_attention(recorder, layer, at, config):
    attention = layer.self_attn
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    for name, count in (("k", shared), ("v", shared)):
        projection = getattr(attention, f"{name}_proj")
        recorder.on(projection, at + name, lambda given, made, count=count: heads_of(whole(made), count))
    if attention.q_proj.out_features == attention.o_proj.in_features:
        recorder.on(attention.q_proj, at + "q", lambda given, made: heads_of(whole(made), heads))
        return
    # For each head its query, then its gate.
    halves = lambda made: heads_of(whole(made), heads).chunk(2, -1)  # noqa: E731
    recorder.on(attention.q_proj, at + "q", lambda given, made: halves(made)[0])
    recorder.on(attention.q_proj, at + "attn_gate", lambda given, made: halves(made)[1].transpose(0, 1).flatten(1))
    recorder.on_input(attention.o_proj, at + "attn_gated")


def watch_delta_net(recorder, net, at):
    parts = {}

    def keep(name, module, last, joined):
        def hook(_module, _args, made):
            parts[name] = whole(made)
            if name == joined[-1]:
                recorder.values[at + last] = torch.cat([parts[one] for one in joined], -1)

        module.register_forward_hook(hook)

    for name in ("qkv", "z"):
        keep(name, getattr(net, f"in_proj_{name}"), "delta_in", ("qkv", "z"))
    for name in ("b", "a"):
        keep(name, getattr(net, f"in_proj_{name}"), "delta_gates", ("b", "a"))
    recorder.on_input(net.out_proj, at + "attended")


def watch_decoder(model):
    recorder, body = Recorder(model), model.base_model
    embedding_of(recorder, body.embed_tokens, body.layers[0])
    for index, layer in enumerate(body.layers):
        at = f"layers.{index}."
        recorder.on(layer.input_layernorm, at + "attn_norm")
        if hasattr(layer, "linear_attn"):
            watch_delta_net(recorder, layer.linear_attn, at)
        else:
            watch_attention(recorder, layer, at, model.config)
        before = getattr(layer, "pre_feedforward_layernorm", layer.post_attention_layernorm)
        recorder.on_input(before, at + "attn_residual")
        recorder.on(before, at + "ffn_norm")
        if hasattr(layer.mlp, "experts"):
            recorder.on(layer.mlp.gate, at + "router", lambda given, made: made[0])
            recorder.on(layer.mlp.gate, at + "experts_used", lambda given, made: made[2])
            recorder.on(layer.mlp, at + "experts")
        else:
            recorder.on(layer.mlp.gate_proj, at + "gate")
            recorder.on(layer.mlp.up_proj, at + "up")
            recorder.on_input(layer.mlp.down_proj, at + "activation")
        recorder.on(layer, at + "ffn_residual")
    recorder.on(body.norm, "final_norm")
    return recorder


def watch_encoder(model):
    """BERT: no norm stands before a part, so that it reads the stream as it is."""
    recorder, heads = Recorder(model), model.config.num_attention_heads
    embedding_of(recorder, model.embeddings.word_embeddings, model.encoder.layer[0])
    for index, layer in enumerate(model.encoder.layer):
        at = f"layers.{index}."
        recorder.on_input(layer, at + "attn_norm")
        for name, projection in (("q", "query"), ("k", "key"), ("v", "value")):
            module = getattr(layer.attention.self, projection)
            recorder.on(module, at + name, lambda given, made: heads_of(whole(made), heads))
        recorder.on(layer.attention.output, at + "attn_residual")
        recorder.on_input(layer.intermediate.dense, at + "ffn_norm")
        recorder.on(layer.intermediate.dense, at + "up")
        recorder.on_input(layer.output.dense, at + "activation")
        recorder.on(layer, at + "ffn_residual")
    return recorder


def in_its_type(values):
    """For what is computed beside a model's forward."""
    return no_float32() if values["embed"].dtype is torch.float64 else nullcontext()


@torch.no_grad()
def lens_of(model, values):
    """[layers, positions, vocabulary]: the head over the stream behind each layer, through the final norm."""
    layers = model.config.num_hidden_layers
    tokens = values["embed"].shape[0]
    positions = sorted({round(p) for p in np.linspace(0, tokens - 1, LENS_POSITIONS)})
    stream = torch.stack([values[f"layers.{layer}.ffn_residual"][positions] for layer in range(layers)])
    with in_its_type(values):
        return positions, model.lm_head(model.base_model.norm(stream))


def lens_golden(exact, single):
    """Each a pair of a model and what its hooks saw."""
    positions, truth = lens_of(*exact)
    best = truth.topk(LENS + 1)
    gaps = best.values[..., :-1] - best.values[..., 1:]
    return {
        "positions": positions,
        "ids": best.indices[..., :LENS].tolist(),
        "logits": tensor(best.values[..., :LENS]),
        "probabilities": tensor(truth.softmax(-1).gather(-1, best.indices[..., :LENS])),
        "leastGaps": tensor(gaps.min(-1).values),
        "float32Error": error(lens_of(*single)[1], truth),
    }


@torch.no_grad()
def attribution_of(model, values, token):
    """What each part adds to the logit of a token behind the last position, the final norm's scale held fixed."""
    norm, last = model.base_model.norm, values["embed"].shape[0] - 1
    row = lambda name: values[name][last]  # noqa: E731
    eps = getattr(norm, "variance_epsilon", None) or norm.eps
    layers = model.config.num_hidden_layers
    stream = row(f"layers.{layers - 1}.ffn_residual")
    ones = torch.ones_like(stream)
    with in_its_type(values):
        gain = norm(ones[None, None])[0, 0] * math.sqrt(1 + eps)
    direction = model.lm_head.weight[token] * gain / torch.sqrt(stream.pow(2).mean() + eps)
    parts = {"embed": direction @ row("embed")}
    before = row("embed")
    for index, layer in enumerate(model.base_model.layers):
        at = f"layers.{index}."
        middle, after = row(at + "attn_residual"), row(at + "ffn_residual")
        parts[f"{index}.attention"] = direction @ (middle - before)
        # Where a norm or a gate stands between, heads do not add up.
        plain = not hasattr(layer, "pre_feedforward_layernorm") and hasattr(layer, "self_attn")
        if plain and not any(name.endswith("attn_gate") for name in values):
            heads = values[at + "attended"][:, last]
            output = layer.self_attn.o_proj.weight.reshape(len(direction), *heads.shape)
            for head in range(len(heads)):
                parts[f"{index}.head.{head}"] = direction @ (output[:, head] @ heads[head])
        parts[f"{index}.feed_forward"] = direction @ (after - middle)
        before = after
    return parts


def attribution_golden(exact, single):
    token = int(exact[1]["logits"][-1].argmax())
    truth = attribution_of(*exact, token)
    whole_logit = exact[1]["logits"][-1, token]
    total = sum(value for name, value in truth.items() if ".head." not in name)
    assert abs(total - whole_logit) < 1e-9, "the parts do not add up"
    values, measured = (torch.stack(list(parts.values())) for parts in (truth, attribution_of(*single, token)))
    return {"token": token, "parts": list(truth), "logits": tensor(values, "float64"), "float32Error": error(measured, values)}


def golden_of(watch, model_of, ids, most):
    """`model_of()` makes the model in float32, with the plain attention."""
    plain = model_of()
    exact = to_float64(model_of())
    single = watch(plain).run(ids)
    recorder = watch(exact)
    values = recorder.run(ids)
    kinds = {}
    for name, value in values.items():
        kinds.setdefault(name.rsplit(".", 1)[-1], []).append(name)
    measured = {
        kind: error(torch.cat([single[n].flatten() for n in names]), torch.cat([values[n].flatten() for n in names]))
        for kind, names in kinds.items()
    }
    samples = [values[name].flatten()[list(places(values[name].numel(), most))] for name in values]
    golden = {
        "versions": versions("torch", "transformers", "numpy"),
        "computedIn": "float64",
        "ids": ids,
        "most": most,
        "tensors": [[name, list(value.shape)] for name, value in values.items()],
        "values": tensor(torch.cat([sample.double() for sample in samples])),
        "float32Error": measured,
    }
    if not recorder.is_encoder():
        pair = (exact, values), (plain, single)
        golden |= {"lens": lens_golden(*pair), "attribution": attribution_golden(*pair)}
    return golden


def model_in(folder, kind):
    """The checkpoint of a folder in float32."""
    plain = {"attn_implementation": "eager", "experts_implementation": "eager", "dtype": torch.float32}
    return kind.from_pretrained(folder, **plain).eval()


def ids_of(folder, seed):
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    return np.random.default_rng(seed).integers(5, vocabulary, TOKENS).tolist()


def make(out, fixtures, path=None):
    for index, name in enumerate(FAMILIES + ENCODERS):
        folder = fixtures / ("families" if name in FAMILIES else "encoders") / name
        watch, kind = (watch_decoder, AutoModelForCausalLM) if name in FAMILIES else (watch_encoder, AutoModel)
        golden = golden_of(watch, lambda: model_in(folder, kind), ids_of(folder, SEED + index), SAMPLED)
        write_json(out / "traces" / f"{name}.json", {"seed": SEED + index, **golden})
    file = GgufFile(path or packaged_gguf())
    ids = file.tokenizer().encode(SMOLLM2_TEXT).ids
    golden = golden_of(watch_decoder, lambda: file.model("eager"), ids, SAMPLED_OF_MANY)
    write_json(out / "traces" / "smollm2.json", {"text": SMOLLM2_TEXT, **golden})
