"""What a gallery's people teach: calibration, typicality, what is usual and what is normal."""
