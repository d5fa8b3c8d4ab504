"""Raw files to model batches.

`pipeline.prepare` runs `readers` → `clean` → `dedup` → `segment` → `tokens` → `shards`, in this order. Beside plain
texts there are translations (`parallel`) and what people have labelled (`labelled`).
"""
