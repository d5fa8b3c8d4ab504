"""Raw files to model batches.

`readers` → `clean` → `dedup` → `segment` → `tokenizer` → `shards`; `pipeline.prepare` runs them in this order.
"""
