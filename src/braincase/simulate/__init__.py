"""The simulated cohort: anatomy, people, sessions, scanners and their truth."""
