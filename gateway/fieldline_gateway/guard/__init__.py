"""Who may do what, who knocks, and what was done: the audit log and what the operator sees of strangers."""
