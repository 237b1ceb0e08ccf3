"""How many labs an API server carries: the load of one lab, replayed for many."""
