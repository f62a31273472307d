"""What the processes of one machine must agree on: tables of small records in files that they share.

Any stage may keep its state here (exact rates now). A record is a key, a whole number and the moment until which it
counts; nothing here knows what it means.
"""

from ztproxy.store.table import FullError, Place, Record, Table
from ztproxy.store.unusable import StoreError

__all__ = ["FullError", "Place", "Record", "StoreError", "Table"]
