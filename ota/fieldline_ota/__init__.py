"""What makes a release of a node's software: images, deltas, keys, signatures (docs/update.md)."""
