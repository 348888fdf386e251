"""The record of a gallery in SQLite: cases, versions and history, and their labels in memory."""
