"""Prepared text in the order that training wants it: shuffled, packed, mixed, shared out; never all in memory."""
