"""Who asks: certificates, revocation, tokens and the keys of issuers."""
