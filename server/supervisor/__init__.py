"""What `startup.py` runs: the processes of the product, the engines of local models, and the flags that choose them.

Read processes.py first. Nothing heavy is imported here: the product starts after this package did.
"""
