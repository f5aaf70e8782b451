"""The messages that travel through the message-passing server, and their codec."""
