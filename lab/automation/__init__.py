"""How a candidate's program is packaged, started, kept running and measured; and the small SDK for it."""
