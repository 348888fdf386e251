"""Authentication, authorization, rate limits, security headers and the audit log."""
