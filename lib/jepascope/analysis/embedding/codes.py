"""Raw codes as a representation: what a reader finds without any model, the bar that z has to clear."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.decomposition import TruncatedSVD


def principal_codes(bag: csr_matrix, train: np.ndarray, width: int, seed: int) -> np.ndarray:
    """The codes' leading `width` axes, float32 [N, width], fitted on training rows (bool [N]) alone.

    Truncated SVD without centring keeps the bag sparse. At most as many axes as there are columns or training rows.
    """
    axes = min(width, bag.shape[1] - 1, int(train.sum()) - 1)
    svd = TruncatedSVD(axes, random_state=seed).fit(bag[train])
    return svd.transform(bag).astype(np.float32)
