"""robustkit inside of tools of others: a metric and a callback for training loops, and loggers of finished audits.

Each module imports its library when it is imported itself, so nothing else of robustkit needs any of them.
"""
