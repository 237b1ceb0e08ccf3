"""What toil costs, before and with an automation: statistics, measured incidents, the ledger.

Pure functions. A figure is either measured (in lab minutes), declared (by the exercise or the user), or
derived from those two, and says which. A lab minute stands for a minute.
"""
