"""Tokenizers: the one type that all models share, training one, and reading those of others."""
