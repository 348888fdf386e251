"""From a raw T1-weighted head to the standard volume."""
