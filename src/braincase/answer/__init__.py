"""The answer to a search: why the hits are similar, how sure that is, and what became of them."""
