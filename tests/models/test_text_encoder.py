"""A language model in the encoder's place: the real loading code, on a tiny Qwen3 with random weights."""

import builtins
import itertools
import shutil
import socket
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.fixtures_encounters import TINY_MODEL

from jepascope import params
from jepascope.closure import closure
from jepascope.models import text_encoder as text_encoder_module
from jepascope.models.jepa import JEPA
from jepascope.models.text_encoder import TextEncoder, load_text_encoder, render, with_text_encoder
from jepascope.store import read_json, read_table
from jepascope.training.arms import make_arm
from jepascope.training.checkpoint import load_weights, save_model
from jepascope.training.initial import new_model
from jepascope.training.loop import fit

peft = pytest.importorskip("peft", reason="the extra 'text' is not installed")
huggingface_hub = pytest.importorskip("huggingface_hub", reason="the extra 'text' is not installed")
transformers = pytest.importorskip("transformers", reason="the extra 'text' is not installed")
pytest_plugins = ["tests.fixtures_trained"]

VOCABULARY = [
    ("[CLS]", "special"),
    ("AGE//60-69", "age"),
    ("TYPE//EW EMER.", "admission"),
    ("UNIT//Med/Surg", "unit"),
    ("ICU", "icu"),
    ("ICD10//F32", "diagnosis"),
    ("ICD10//I10", "diagnosis"),
    ("DRUG//sertraline", "drug"),
    ("LAB//50912//Q10", "lab"),
    ("TO//SKILLED NURSING FACILITY", "closing"),
]
LINES = [render(token, kind) for token, kind in VOCABULARY]
TOKENS = torch.tensor([1, 2, 5, 7, 4, 1, 2, 3, 5, 6, 7, 8, 9])
OFFSETS = torch.tensor([0, 4, 5, 5, 13])  # the third encounter has no codes
HEADS = {"norm.weight", "norm.bias", "out.weight", "out.bias"}


@pytest.fixture(scope="session")
def language_model(tmp_path_factory) -> Path:
    """A folder as a download leaves it: config, safetensors and Qwen's tokeniser with merges of its own."""
    folder = tmp_path_factory.mktemp("language_model")
    tokeniser = transformers.Qwen2Tokenizer().train_new_from_iterator(LINES, vocab_size=300, show_progress=False)
    tokeniser.save_pretrained(folder)
    config = transformers.Qwen3Config(
        vocab_size=len(tokeniser),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        initializer_range=0.2,  # or attention is so flat that a misplaced mask would not show
    )
    torch.manual_seed(1)
    transformers.Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def encoder(language_model) -> TextEncoder:
    return load_text_encoder(language_model, VOCABULARY, width=16, lora_rank=4)


def moved(encoder: TextEncoder) -> TextEncoder:
    """Adapters away from zero, as after training."""
    torch.manual_seed(2)
    for name, parameter in encoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return encoder


def test_a_token_reads_as_its_kind_and_its_words():
    assert LINES[1:9:2] == ["age 60-69\n", "unit Med/Surg\n", "diagnosis ICD10 F32\n", "drug sertraline\n"]
    assert LINES[2:9:2] == ["admission TYPE EW EMER.\n", "icu\n", "diagnosis ICD10 I10\n", "lab 50912 Q10\n"]


def test_spelling_by_token_equals_tokenising_the_whole_text(encoder, language_model):
    tokeniser = transformers.AutoTokenizer.from_pretrained(language_model)
    ids, offsets = encoder.spell(TOKENS, OFFSETS)
    for row, (a, b) in enumerate(itertools.pairwise(OFFSETS)):
        text = "".join(LINES[token] for token in TOKENS[a:b])
        assert ids[offsets[row] : offsets[row + 1]].tolist() == [*tokeniser(text)["input_ids"], tokeniser.eos_token_id]


def test_z_at_first_is_the_pretrained_models_last_state_under_the_head_whichever_side_is_padded(
    encoder, language_model, monkeypatch
):
    """Against the library's own causal model with masks and left padding; adapters begin at zero."""
    monkeypatch.setattr(text_encoder_module, "BUCKET_TOKENS", 32)  # several buckets
    base = transformers.AutoModelForCausalLM.from_pretrained(language_model).model
    ids, offsets = encoder.spell(TOKENS, OFFSETS)
    texts = [ids[a:b] for a, b in itertools.pairwise(offsets)]
    L = max(len(text) for text in texts)
    padded = torch.stack([torch.nn.functional.pad(text, (L - len(text), 0), value=5) for text in texts])
    mask = torch.arange(L) >= L - offsets.diff()[:, None]
    position = (mask.cumsum(1) - 1).clamp(min=0)
    h = base(input_ids=padded, attention_mask=mask.long(), position_ids=position).last_hidden_state[:, -1]
    z = encoder(TOKENS, OFFSETS)
    assert z.shape == (4, 16)
    torch.testing.assert_close(z, encoder.out(encoder.norm(h)), rtol=1e-4, atol=1e-5)
    assert (moved(encoder)(TOKENS, OFFSETS) - z).norm() > 0.1 * z.norm()  # so the adapters do reach z


def test_z_of_an_encounter_does_not_depend_on_its_company(encoder):
    moved(encoder)
    parts = TOKENS.split(OFFSETS.diff().tolist())
    alone = torch.cat([encoder(part, torch.tensor([0, len(part)])) for part in parts])
    together = encoder(TOKENS, OFFSETS)
    assert (alone - together).norm() <= 1e-5 * together.norm()


def test_only_adapters_and_head_learn_even_after_a_freeze_and_a_thaw(encoder):
    jepa = with_text_encoder(JEPA(len(VOCABULARY), **TINY_MODEL.model_dump()), encoder)
    jepa.encoder.requires_grad_(False)
    jepa.requires_grad_(True)
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    optimiser = torch.optim.SGD(jepa.parameters(), lr=0.1)
    encoder(TOKENS, OFFSETS).square().sum().backward()
    optimiser.step()
    learnt = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
    assert {name for name in learnt if "lora_" not in name} == HEADS
    assert sum("lora_" in name for name in learnt) == 2 * 7 * 2  # A and B, seven linear maps, two layers
    assert "language_model.base_model.model.embed_tokens.weight" in before
    assert all(torch.equal(buffer, before[name]) for name, buffer in encoder.named_buffers())


def test_recomputing_activations_changes_no_gradient(language_model):
    gradients = []
    for recompute in (False, True):
        encoder = moved(
            load_text_encoder(language_model, VOCABULARY, 16, lora_rank=4, gradient_checkpointing=recompute)
        ).train()
        assert encoder.language_model.base_model.model.layers[0].gradient_checkpointing == recompute
        encoder(TOKENS, OFFSETS).square().sum().backward()
        gradients.append([parameter.grad for parameter in encoder.parameters()])
    torch.testing.assert_close(*gradients)


def test_state_is_adapters_and_head_in_float32_and_loads_equal(language_model, tmp_path):
    """With the language model in bfloat16, as on a GPU."""
    jepa = new_model(len(VOCABULARY), TINY_MODEL, seed=0)
    with_text_encoder(jepa, moved(load_text_encoder(language_model, VOCABULARY, 16, seed=0, device="cuda")))
    assert jepa.encoder.get_buffer("language_model.base_model.model.norm.weight").dtype == torch.bfloat16
    save_model(tmp_path, jepa)
    again = JEPA(**read_json(tmp_path / "model.json"))
    with_text_encoder(again, load_text_encoder(language_model, VOCABULARY, 16, seed=9, device="cuda"))
    assert not torch.equal(again.encoder(TOKENS, OFFSETS), jepa.encoder(TOKENS, OFFSETS))
    load_weights(tmp_path, again)
    assert torch.equal(again.encoder(TOKENS, OFFSETS), jepa.encoder(TOKENS, OFFSETS))
    state = jepa.encoder.state_dict()
    assert {name for name in state if "lora_" not in name} == HEADS
    assert {weight.dtype for weight in state.values()} == {torch.float32}


def test_the_seed_draws_adapters_and_head_and_leaves_the_global_generator_alone(language_model):
    before = torch.get_rng_state()
    first, same, other = (
        load_text_encoder(language_model, VOCABULARY, 16, seed=seed).state_dict() for seed in (3, 3, 4)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["out.weight"], other["out.weight"])


@pytest.mark.parametrize("arm", ["both_sides", "curriculum"])
def test_a_jepa_with_it_trains_in_the_loop_as_any_other_and_resumes(arm, language_model, toy, tmp_path):
    """21 steps. With the gradient through both sides the loss has to fall (a stopped target moves under it); the
    curriculum's changes with its phases, but it freezes and thaws the encoder and keeps a momentum copy."""
    vocabulary = list(toy.vocabulary[["token", "kind"]].itertuples(index=False, name=None))
    training = params.Training(arm=arm, epochs=7, batch_patients=24, learning_rate=5e-3, encoder_rate=1.0)

    def model(seed: int) -> JEPA:
        encoder = load_text_encoder(language_model, vocabulary, 16, lora_rank=4, seed=seed)
        return with_text_encoder(new_model(len(vocabulary), TINY_MODEL, seed), encoder)

    trained, start = model(0), model(0).encoder
    fit(tmp_path, toy, trained, make_arm(training), training, seed=0)
    loss = read_table(tmp_path / "history.parquet")["train_total"]
    assert np.isfinite(loss).all()
    assert arm == "curriculum" or loss.iloc[-1] < 0.8 * loss.iloc[0]
    assert all(torch.equal(buffer, start.get_buffer(name)) for name, buffer in trained.encoder.named_buffers())
    assert not any(
        torch.equal(weight, start.get_parameter(name)) for name, weight in trained.encoder.named_parameters()
    )
    resumed = model(1)
    fit(tmp_path, toy, resumed, make_arm(training), training, seed=0)  # from the checkpoint: nothing left to do
    assert all(torch.equal(weight, resumed.state_dict()[name]) for name, weight in trained.state_dict().items())


def test_nothing_of_the_book_reaches_it_unasked():
    reached = closure(
        "import jepascope.cli\nimport jepascope.pipeline.embedding.probing\nimport jepascope.training.loop"
    )
    assert {"encoder.py", "loop.py", "running.py"} <= {file.name for file in reached}
    assert "text_encoder.py" not in {file.name for file in reached}


def test_loading_a_folder_or_a_name_asks_the_network_for_nothing(language_model, monkeypatch, tmp_path):
    """transformers' own look-up of a name does, even under `local_files_only`."""
    asked: list[object] = []
    cached = tmp_path / "models--somebody--something"  # as `hf download` leaves it
    shutil.copytree(language_model, cached / "snapshots" / "abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    look_up = partial(huggingface_hub.try_to_load_from_cache, cache_dir=tmp_path)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", look_up)

    def refuse(*arguments: object, **_: object) -> None:
        asked.append(arguments)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    load_text_encoder(language_model, VOCABULARY, 16)
    load_text_encoder("somebody/something", VOCABULARY, 16)
    with pytest.raises(OSError, match="no language model could be read from nobody/nothing.*`hf download`"):
        load_text_encoder("nobody/nothing", VOCABULARY, 16)
    assert asked == []


def test_a_missing_folder_and_one_with_pickled_weights_are_refused(language_model, tmp_path):
    with pytest.raises(OSError, match="no language model could be read from .*nowhere"):
        load_text_encoder(tmp_path / "nowhere", VOCABULARY, 16)
    for file in language_model.iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="no language model could be read"):
        load_text_encoder(tmp_path, VOCABULARY, 16)


def test_without_the_extra_the_error_says_what_to_install(language_model, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "peft":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install -e '\.\[text\]'"):
        load_text_encoder(language_model, VOCABULARY, 16)


def test_an_encoder_of_another_width_or_vocabulary_is_refused(encoder):
    for vocabulary, width in ((len(VOCABULARY), 8), (50, 16)):
        jepa = JEPA(vocabulary, width=width, heads=2)
        with pytest.raises(ValueError, match="load it with the JEPA's vocabulary and width"):
            with_text_encoder(jepa, encoder)


def test_a_closing_that_reads_as_nothing_is_refused(encoder):
    with pytest.raises(ValueError, match="closes every encounter"):
        TextEncoder(encoder.language_model, [[], [1]], 16)
