"""Messages to people by mail and webhook: once when something needs them, and once when it is over.

A watcher in the web processes and beside the worker compares the tables with what people were told.
"""
