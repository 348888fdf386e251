"""Results for the eye: pages, pictures, tables and wording; nothing here computes a result."""
