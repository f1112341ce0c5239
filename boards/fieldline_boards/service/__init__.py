"""A person's tools at a node's own cable: what `fieldline node logs|config|factory-reset|doctor` do.

Rules: a tool opens what the node says and asks it things; it never acknowledges a reading, so that nothing is lost
by looking. The gateway cannot have the port at the same time.
"""
