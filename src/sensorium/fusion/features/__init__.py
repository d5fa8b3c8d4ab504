"""Feature-level fusion: the aligned tokens of each modality in, one vector a row out. One small module a method.

Read it in this order: `base` (the one interface), `build` (a configuration to its module), then the kinds: `concat`,
`gated`, `film`, `low_rank`, and those of Transformer blocks (`layers`), `cross`, `bottleneck`, `shared`.
"""
