"""The canary: widens an automation's reach in steps, judges each by measurements, and takes back what it did.

It runs as a pod of its own. analysis judges measurements, controller decides, undo and restore take back.
"""
