"""The shape of z: how many directions it has, whether it falls into clusters, and raw codes as its rival."""
