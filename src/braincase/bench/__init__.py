"""The public benchmark of similar-case search: cohort, splits, contestants, tasks and scores."""
