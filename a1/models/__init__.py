"""Networks, written from layers."""
