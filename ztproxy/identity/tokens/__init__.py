"""Bearer tokens: verified, looked up, bound."""
