"""One module for each service: a driver and the constructor class that users name."""
