"""One module for each migration; none ever changes once it is released."""
