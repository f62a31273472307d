"""The configuration: YAML to validated, immutable settings."""
