"""Browsers' sessions: an opaque identifier in a cookie, and what it stands for in a store.

`ztproxy.identity.login` begins them; here they are found again, checked, refreshed and ended.
"""
