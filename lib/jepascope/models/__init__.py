"""The networks: encoder, context, predictor, and the objectives that they are trained under. No files, no tables."""
