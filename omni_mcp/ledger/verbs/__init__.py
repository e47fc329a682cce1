"""The verbs and readers of the port `ledger/base.py` in SQL, part by part, over whatever store holds the rows."""
