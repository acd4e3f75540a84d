"""A larger text backbone: a pretrained causal language model in the encoder's place. Off unless a caller loads one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from jepascope.models.encoder import CLS
from jepascope.models.jepa import JEPA
from jepascope.models.packing import length_buckets, ragged_index, unpack

BUCKET_TOKENS = 8192  # of the language model's tokens: enough to fill a GPU


class TextEncoder(nn.Module):
    """z = W · LN(h_last) + b, h the language model's output over the text of one encounter; [CLS] is the last to speak.

    Where the small encoder puts [CLS] first, this one puts it last, because under a causal model only the last token
    has seen the whole encounter: last-token pooling, as in Qwen3-Embedding. It too ends in a Linear, for VICReg.
    The order of an encounter's codes matters here; extraction gives that of the vocabulary.
    Source: Yang et al. 2026 (Clin-JEPA) for Qwen3-8B with LoRA; the rendering, the pooling and the head are ours.
    """

    ids: Tensor  # int64 [P], what the vocabulary reads as, one list
    lengths: Tensor  # int64 [V], ids of each token of the vocabulary

    def __init__(self, language_model: nn.Module, pieces: list[list[int]], width: int) -> None:
        """Take a decoder (ids [n, L] to `last_hidden_state` [n, L, H]) and the ids that each vocabulary token reads as.

        Raises ValueError when [CLS] reads as nothing: an encounter without codes would have no last token.
        """
        super().__init__()
        if not pieces or not pieces[CLS]:
            raise ValueError(f"pieces[{CLS}], which closes every encounter, is empty: give it the end-of-text id")
        self.register_buffer("ids", torch.tensor([i for piece in pieces for i in piece]), persistent=False)
        self.register_buffer("lengths", torch.tensor([len(piece) for piece in pieces]), persistent=False)
        self.language_model = frozen_as_constants(language_model)
        hidden = language_model.get_input_embeddings().embedding_dim  # type: ignore[operator]
        self.norm = nn.LayerNorm(hidden)
        self.out = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        """Encode packed encounters: tokens int64 [T], offsets int64 [N + 1]. Returns z [N, D], float32."""
        text, text_offsets = self.spell(tokens, offsets)
        buckets = length_buckets(text_offsets, BUCKET_TOKENS)
        pieces = [self.read_padded(text[b.elements], b.valid) for b in buckets]
        return self.out(self.norm(unpack(pieces, [b.rows for b in buckets])))

    def spell(self, tokens: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Spell encounters out for the language model: tokens [T] and offsets [N + 1] become ids and their offsets."""
        before = torch.arange(len(offsets), device=tokens.device)  # [N + 1], encounters that were closed before
        closed = tokens.new_full((len(tokens) + len(offsets) - 1,), CLS)  # each encounter's tokens, then [CLS]
        closed[torch.arange(len(tokens), device=tokens.device) + before[:-1].repeat_interleave(offsets.diff())] = tokens
        starts, lengths = (self.lengths.cumsum(0) - self.lengths)[closed], self.lengths[closed]
        ends = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        return self.ids[ragged_index(starts, lengths)], ends[offsets + before]

    def read_padded(self, ids: Tensor, valid: Tensor) -> Tensor:
        """Run the language model over padded texts, ids and valid [n, L]. Returns the last token's state, [n, H].

        Padding comes after the text, where causality alone keeps it unseen: no mask, so that attention stays fast.
        """
        h = self.language_model(input_ids=ids, use_cache=False).last_hidden_state  # [n, L, H]
        return h[torch.arange(len(h), device=h.device), valid.sum(dim=1) - 1].float()


def frozen_as_constants(model: nn.Module) -> nn.Module:
    """Turn parameters that ask for no gradient into constants: they move with the model, and nothing else touches them.

    As parameters they would be in every checkpoint, and whoever freezes and thaws the encoder would thaw them too.
    """
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                delattr(module, name)
                module.register_buffer(name, parameter.detach(), persistent=False)
    return model


def render(token: str, kind: str) -> str:
    """Write a token of the vocabulary as a line of text: ("ICD10//F32", "diagnosis") reads "diagnosis ICD10 F32".

    It ends in a newline, over which Qwen's tokeniser never joins: spelling line by line is spelling the whole text.
    """
    words = token.split("//")
    return " ".join([kind, *words[words[0].lower() == kind :]]) + "\n"


def load_text_encoder(
    source: str | Path,
    vocabulary: Iterable[tuple[str, str]],
    width: int,
    lora_rank: int = 16,
    seed: int = 0,
    device: str = "cpu",
    gradient_checkpointing: bool = False,
) -> TextEncoder:
    """Put LoRA adapters into a pretrained causal language model, because training all of it would take many GPUs.

    source: a folder with config, tokeniser and safetensors, or the name of a model in the local Hugging Face cache;
    nothing is fetched, no pickle read, no code of the model's run. vocabulary: token and kind by token id. The model is
    bfloat16 for a CUDA `device`, else float32; the adapters (rank `lora_rank`, α twice that, on every linear map, zero
    at first) and the head are float32. Raises ImportError without the extra `text`, OSError where there's no model.
    """
    try:
        from huggingface_hub import try_to_load_from_cache
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise ImportError("a text encoder needs peft and transformers: pip install -e '.[text]'") from error
    dtype = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
    as_it_is = {"local_files_only": True, "trust_remote_code": False}
    try:
        # A name is looked up by hand: transformers' own look-up asks the network even under local_files_only.
        found = None if Path(source).is_dir() else try_to_load_from_cache(str(source), "config.json")
        folder = Path(found).parent if isinstance(found, str) else Path(source).resolve(strict=True)
        tokeniser = AutoTokenizer.from_pretrained(folder, **as_it_is)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True, **as_it_is)
    except (OSError, ValueError) as error:
        raise OSError(
            f"no language model could be read from {source}: name a folder with config.json, *.safetensors and "
            f"tokenizer.json, or a model that `hf download` has put into the local cache. {error}"
        ) from error
    lines = [render(token, kind) for token, kind in vocabulary]
    pieces = tokeniser(lines, add_special_tokens=False)["input_ids"]
    pieces[CLS] = [] if tokeniser.eos_token_id is None else [tokeniser.eos_token_id]
    decoder = model.get_decoder()  # without the map back to words, which nobody asks
    if gradient_checkpointing:
        decoder.activation_checkpointing_enable({"use_reentrant": False})
    lora = LoraConfig(r=lora_rank, lora_alpha=2 * lora_rank, target_modules="all-linear")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TextEncoder(get_peft_model(decoder, lora), pieces, width)


def with_text_encoder(jepa: JEPA, encoder: TextEncoder) -> JEPA:
    """Put a text encoder in the JEPA's own one's place; context, predictor and training stay what they are.

    It is saved as any model; to load, build the same again from `model.json` and `load_text_encoder`, then read the
    weights in with `load_weights`. Raises ValueError when the encoder's width or vocabulary isn't the JEPA's.
    """
    has = {"vocabulary_size": len(encoder.lengths), "width": encoder.out.out_features}
    wanted = {name: jepa.config[name] for name in has}
    if has != wanted:
        raise ValueError(f"the text encoder has {has}, the JEPA {wanted}: load it with the JEPA's vocabulary and width")
    jepa.register_module("encoder", encoder)
    return jepa
