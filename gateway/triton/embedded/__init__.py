"""The real tritonserver on this machine: found, started, watched over and cleaned up after."""
