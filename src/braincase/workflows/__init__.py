"""Whole jobs from several rooms: index a cohort or raw scans, run an experiment, the demo."""
