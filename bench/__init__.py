"""Measurements against the budgets of the design: `make bench`, or `python -m bench search startup` for some of them."""
