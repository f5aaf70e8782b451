"""The controller: the message-passing server, the workers that join, and the datastore."""
