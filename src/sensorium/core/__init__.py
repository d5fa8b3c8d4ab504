"""The Transformer core: tensors in, tensors out. It knows no files and no tokenizer.

Read it in this order: `config` (what a model is), `model` (how the parts stand together), `block`,
`attention`, `attend` (the formula and its fast back-ends), `mask` (who may see whom).
"""
