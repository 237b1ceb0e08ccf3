"""The live page: incidents, what the automation did or would have done, its success rate, the kill switch."""
