"""Link endpoints for web frameworks: `asgi`, `starlette`, `flask` and `django`; conversion only."""
