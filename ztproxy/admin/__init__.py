"""What the operator asks the running proxy."""
