"""What faces may ask for, verb by verb.

Needs the ledger, never an executor: it writes what is wanted and reads what became of it.
"""
