"""The runtime: threads that carry out what orchestrations decide."""
