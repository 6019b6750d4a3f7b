# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
"""Models of every form that strangers bring, small enough that whole commands run on them in a test."""
