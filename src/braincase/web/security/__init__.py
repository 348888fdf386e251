"""Who may do what: users, sessions, tokens, the proxy, headers and the audit log."""
