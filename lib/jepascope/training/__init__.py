"""How a JEPA is trained: arms, batches, the loop with its checkpoints and gates, and the untrained twin."""
