"""The voice that can be talked to: sessions, the server, its page, and models packed for use."""
