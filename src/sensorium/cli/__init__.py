"""The command line: one file a verb, no logic: parse, call the public API, print."""
