"""Cleaning: what changes the text of a document, each change a stage of its own that a pipeline may hold or not."""
