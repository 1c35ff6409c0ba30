"""Rebuilds core/models/question-verifier.Q8_0.gguf: a cross-encoder that tells whether two questions ask the same."""
