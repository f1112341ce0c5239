"""`fieldline demo`: emulated boards, simulated fans, a gateway as a user would start it, and a live table."""
