"""Workload identity (SPIFFE): our own X509-SVID, and the bundles that vouch for others'.

One `Workload` says all of it at one moment. The supervisor gets it, from files or from the Workload API, and every
worker is handed the same one; what rests on it is made anew with each.
"""
