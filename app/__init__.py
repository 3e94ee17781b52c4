"""The app over the library: one service, pure handlers, an HTTP server, MCP tools; pages are drawn by `app.page`."""
