"""`prepare`: raw files to a corpus, on many processes, with an account of everything that is dropped."""
