"""What happened: access log and decision log."""
