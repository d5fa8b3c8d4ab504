"""How the bundled text and the default model were made; run from the repository's root."""
