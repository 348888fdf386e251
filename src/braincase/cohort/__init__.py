"""A cohort of standard volumes on disk (BIDS derivatives), packed for training, and its splits."""
