"""The server: a predictor and the UI become one ASGI app behind one port."""
