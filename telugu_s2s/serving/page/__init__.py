"""The page that a browser talks through: files that the server hands out as they are, without a build step."""
