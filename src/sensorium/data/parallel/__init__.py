"""Texts and their translations: `prepare.prepare_parallel` runs `readers` → `pairs` → `holdout` → tokens → shards."""
