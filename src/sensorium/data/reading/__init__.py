"""Files of every kind to documents: `listing` finds them, `files.read_file` reads one, `spans` cuts large ones.

Read it in this order: `formats` (what a file is), `places` (where it stands), `packed` (compression, and its limits),
`encoding` (how text is written), `documents` (what a document is), then the kinds: `tables`, `columnar` (with
`arrow_sizes` and `parquet_sizes`), `html`, `warc`, `pdf`, `archives`; `files` puts them together; `inputs` reads
whatever it is given.

Nothing of a file counts unless it could be read to its end and did not change meanwhile: `UnreadableError` takes back
what was given of it. Rows of tables, members of archives and records of WARC files stand each for itself.
"""
