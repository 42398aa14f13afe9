"""What ``fedstill compress`` does: a student is measured, pruned, quantised, put before the gate of a device, and signed."""
