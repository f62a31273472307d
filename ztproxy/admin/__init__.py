"""What operators and their tools reach: the admin socket and the health listener, outside of the workers."""
