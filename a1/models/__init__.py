"""Networks written from layers."""
