"""What every request passes on its way in and out: pure ASGI, one class a file.

The order, outermost first: request id, access log, measuring, CORS, error rendering, authentication, body limit.
"""
