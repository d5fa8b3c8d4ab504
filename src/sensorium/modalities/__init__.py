"""Bytes to tensors: pictures, sounds and clips are decoded, checked, brought to one size or rate, and augmented.

Read it in this order: `source` (what can be read), `kinds` (what a file is), `image` and `pixels`, `audio` and `mel`,
`video`, then the `augment_*` files.
"""
