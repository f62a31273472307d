"""What issuers publish, kept while they are away, and how they are asked."""
