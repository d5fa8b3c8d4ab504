"""Hugging Face's formats: each family is a configuration map and a two-way table of names.

A family is a module with MODEL_TYPES, ARCHITECTURES, `to_config`, `to_hf`, `keymap` and `sized`.
"""

from sensorium.families import bert, gpt2, llama

FAMILIES = (bert, gpt2, llama)
