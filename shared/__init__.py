"""Libraries that the coordinator and the institutions both stand on. No services, and never an import of them."""
