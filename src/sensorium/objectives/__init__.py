"""What a model is trained for: an objective makes batches of a corpus, and turns a model and a batch into a loss."""
