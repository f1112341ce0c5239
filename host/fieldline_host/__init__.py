"""What programs on a host share: configuration files whose errors name the line. Runs on no node."""
