"""The gateway's side of a Bluetooth mesh. So far: which nodes are to relay."""
