"""A voice you can talk to: the session engine, the Realtime websocket server, the microphone client."""
