"""The eight tasks of the benchmark, each a question that every contestant answers alike."""
