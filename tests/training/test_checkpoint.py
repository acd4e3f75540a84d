"""Weights rebuild the model; a checkpoint rebuilds the run."""

import pytest
import torch

from jepascope.models.jepa import JEPA
from jepascope.store import StoreError
from jepascope.training.checkpoint import Progress, load_checkpoint, load_model, save_checkpoint, save_model


def test_a_saved_model_is_rebuilt_without_arguments(tmp_path):
    model = JEPA(vocabulary_size=30, width=24, heads=3, encoder_layers=1, context_layers=3, predictor_hidden=10)
    save_model(tmp_path, model)
    rebuilt = load_model(tmp_path)
    assert rebuilt.config == model.config
    assert not rebuilt.training
    for name, weight in model.state_dict().items():
        assert torch.equal(rebuilt.state_dict()[name], weight)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"model\.json is missing"):
        load_model(tmp_path)


def test_a_checkpoint_restores_weights_moments_and_position(tmp_path):
    torch.manual_seed(0)
    models = [torch.nn.Linear(3, 2) for _ in range(2)]
    optimisers = [torch.optim.AdamW(model.parameters(), lr=0.1, fused=True) for model in models]
    x = torch.randn(5, 3)

    def step(i: int) -> None:
        optimisers[i].zero_grad()
        models[i](x).square().sum().backward()
        optimisers[i].step()

    step(0)
    step(0)
    progress = Progress(epoch=3, step=7, loss_sums={"total": 0.1, "variance": 1 / 3})
    save_checkpoint(tmp_path / "checkpoint.safetensors", {"model": models[0]}, optimisers[0], progress)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors", {"model": models[1]}, optimisers[1]) == progress
    step(0)
    step(1)
    assert torch.equal(models[0].weight, models[1].weight)


def test_no_checkpoint_means_the_beginning(tmp_path):
    model = torch.nn.Linear(1, 1)
    assert load_checkpoint(tmp_path / "none", {"model": model}, torch.optim.AdamW(model.parameters())) == Progress()
