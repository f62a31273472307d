"""One supervisor, which owns the sockets, and the worker processes that serve on them."""
