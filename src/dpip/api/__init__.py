"""The REST API: users, tokens, uploads, downloads and progress over HTTP."""
