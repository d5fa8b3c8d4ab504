"""Tables whose columns hold texts, files, numbers and classes: read, typed by their content, turned into tensors."""
