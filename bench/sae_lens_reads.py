"""Read an exported dictionary with SAELens itself, in its own environment, and leave its codes and reconstruction."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from sae_lens import SAE


def main() -> None:
    """FOLDER holds cfg.json, sae_weights.safetensors and x.npy; writes codes.npy and x_hat.npy there."""
    folder = Path(sys.argv[1])
    sae = SAE.load_from_disk(folder, device="cpu")
    x = torch.from_numpy(np.load(folder / "x.npy"))
    with torch.no_grad():
        f = sae.encode(x)
        x_hat = sae.decode(f)
    np.save(folder / "codes.npy", (f.to_dense() if f.is_sparse else f).numpy())
    np.save(folder / "x_hat.npy", x_hat.numpy())


if __name__ == "__main__":
    main()
